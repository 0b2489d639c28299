//! `assay policy forms`: the forms that the HSM service needs for policy files, as its configuration has them.

use std::path::Path;

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_policy::{Bundle, ProfileName};
use assay_shape::{Form, Forms, Uncovered};
use clap::Args;
use serde::Deserialize;

use super::files::{FilesArgs, faulty};

const EXAMPLES: &str = "\
The HSM service signs only certificates that fit a form of its own configuration, whatever the policy says. This prints a
table [[form]] for each profile, or one for several profiles that differ in nothing that a form is about. A form covers its
profile and little else: the purposes, usages, lifetime, types of names, keys, URLs and certificate policies. Read it, narrow
it where it can be narrowed (lifetime_min, subtrees), and add it to hsm.toml on the HSM host. Then restart assay-hsm and
assay-signer, which refuses to activate a policy with a profile that no form covers.

Examples:
  assay policy forms policy/
  assay policy forms policy/wifi.toml >> /etc/assay/hsm.toml
  assay policy check --forms /etc/assay/hsm.toml policy/";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FormsArgs {
    #[command(flatten)]
    files: FilesArgs,
}

pub(super) fn run(args: &FormsArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let bundle = Bundle::load(&args.files.read(dir)?).map_err(|errors| faulty(&errors))?;
    let text = toml_of(&bundle)?;
    let forms: Vec<Form> = forms(&bundle)?.into_iter().map(|(form, _)| form).collect();
    out.one(&forms, |_| text.lines().map(str::to_owned).collect())
}

/// The tables [[form]] that cover the profiles, each after a comment that names those.
pub(crate) fn toml_of(bundle: &Bundle) -> Outcome<String> {
    let mut text = String::new();
    for (form, profiles) in forms(bundle)? {
        let table = toml::Table::try_from(&form).or_fail("a form cannot be written")?;
        let newline = if text.is_empty() { "" } else { "\n" };
        text += &format!("{newline}# For {}.\n[[form]]\n", profiles.join(", "));
        let (name, others): (Vec<_>, Vec<_>) =
            table.into_iter().partition(|(key, _)| key == "name");
        for (key, value) in name.into_iter().chain(others) {
            let is_zero = key == "lifetime_min" && form.lifetime_min.is_zero();
            if let Some(value) = without_empty(value).filter(|_| !is_zero) {
                text += &format!("{key} = {value}\n");
            }
        }
    }
    Ok(text)
}

/// A key without a value may as well be absent.
fn without_empty(value: toml::Value) -> Option<toml::Value> {
    match value {
        toml::Value::Array(ref list) if list.is_empty() => None,
        toml::Value::Table(table) => {
            let entries = table.into_iter();
            let table = entries.filter_map(|(key, value)| Some((key, without_empty(value)?)));
            Some(toml::Value::Table(table.collect()))
        }
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_) => Some(value),
    }
}

/// Each form with the profiles that it is for: those whose forms differ in the name alone have one.
fn forms(bundle: &Bundle) -> Outcome<Vec<(Form, Vec<&str>)>> {
    let mut forms: Vec<(Form, Vec<&str>)> = Vec::new();
    for (name, profile) in bundle.profiles() {
        let form = profile.form();
        let is_equal = |other: &Form| {
            let name = form.name.clone();
            form == Form {
                name,
                ..other.clone()
            }
        };
        match forms.iter_mut().find(|(other, _)| is_equal(other)) {
            Some((_, profiles)) => profiles.push(name.as_str()),
            None => forms.push((form, vec![name.as_str()])),
        }
    }
    let safe = Forms::new(forms.iter().map(|(form, _)| form.clone()));
    let safe = safe.or_fail("the HSM service would refuse the form")?;
    match uncovered(bundle, &safe).as_slice() {
        [] => Ok(forms),
        [(profile, problem), ..] => Err(Failure::failed(format!("profile `{profile}`: {problem}"))),
    }
}

/// Profiles that no form covers, with the first misfit of each form.
fn uncovered<'a>(bundle: &'a Bundle, forms: &Forms) -> Vec<(&'a ProfileName, Uncovered)> {
    let profiles = bundle.profiles().iter();
    profiles
        .filter_map(|(name, profile)| Some((name, forms.covers(&profile.demand()).err()?)))
        .collect()
}

/// Profiles that no form of a configuration of the HSM service covers. Its other tables are not read.
pub(super) fn uncovered_by<'a>(
    bundle: &'a Bundle,
    file: &Path,
) -> Outcome<Vec<(&'a ProfileName, Uncovered)>> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        form: Vec<Form>,
    }
    let wrong = format!("{} has no usable forms", file.display());
    let File { form } = toml::from_str(&files::read_text(file)?).or_usage(&wrong)?;
    Ok(uncovered(bundle, &Forms::new(form).or_usage(wrong)?))
}
