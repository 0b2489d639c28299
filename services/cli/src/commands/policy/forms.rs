//! `assay policy forms`: the forms that the HSM service needs for policy files, as its configuration has them.

use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_policy::Bundle;
use assay_shape::{Form, Forms};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::files::{FilesArgs, faulty};

const EXAMPLES: &str = "\
The HSM service signs no certificate that does not fit a form of its own configuration, whatever the policy says. This prints a
table [[form]] for each profile, which covers that profile and little else. Read it, narrow it where it can be narrowed, and add it
to hsm.toml on the host of the HSM service.

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
    out.one(&forms(&bundle)?, |_| {
        text.lines().map(str::to_owned).collect()
    })
}

/// The tables [[form]] that cover each profile.
pub(crate) fn toml_of(bundle: &Bundle) -> Outcome<String> {
    #[derive(Serialize)]
    struct File {
        form: Vec<toml::Table>,
    }
    let tables = forms(bundle)?.into_iter().map(|form| {
        let mut table = toml::Table::try_from(&form)?;
        // What is empty may as well be absent.
        table.retain(|key, value| {
            let is_empty = value.as_array().is_some_and(Vec::is_empty);
            !(is_empty || key == "lifetime_min" && form.lifetime_min.is_zero())
        });
        Ok(table)
    });
    let form = tables.collect::<Result<_, toml::ser::Error>>();
    let form = form.or_fail("a form cannot be written")?;
    toml::to_string(&File { form }).or_fail("a form cannot be written")
}

fn forms(bundle: &Bundle) -> Outcome<Vec<Form>> {
    let profiles = bundle.profiles().values();
    let forms: Vec<Form> = profiles.map(|profile| profile.form()).collect();
    let safe = Forms::new(forms.clone()).or_fail("the HSM service would refuse the form")?;
    check(bundle, &safe)?;
    Ok(forms)
}

/// Refuses a profile that no form covers.
fn check(bundle: &Bundle, forms: &Forms) -> Outcome {
    let mut problems = Vec::new();
    for profile in bundle.profiles().values() {
        if let Err(uncovered) = forms.covers(&profile.demand()) {
            problems.push(format!("profile `{}`: {uncovered}", profile.name()));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(problems.join("\n"))
        .next("`assay policy forms` prints forms that cover the policy, for hsm.toml"))
}

/// Checks profiles against the forms of a configuration of the HSM service; its other tables are not read.
pub(super) fn check_against(bundle: &Bundle, file: &PathBuf) -> Outcome {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        form: Vec<Form>,
    }
    let wrong = format!("{} has no usable forms", file.display());
    let File { form } = toml::from_str(&files::read_text(file)?).or_usage(&wrong)?;
    check(bundle, &Forms::new(form).or_usage(wrong)?)
}
