//! Further profiles for an installation, put in force as people do it: proposed, approved, activated.

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::http;
use crate::installation::Installation;
use crate::wait;

/// Changes that let elliptic-curve keys in: they cannot encipher.
pub const ELLIPTIC: &str = "
[keys]
curves = [\"p256\", \"p384\"]
[certificate]
key_usage = [\"digitalSignature\"]
";

impl Installation {
    /// Writes profile `name`, a copy of the demo's profile `base` with `changes` (TOML; its tables are merged into the
    /// copy's), over whatever had this name, activates the policy directory, and waits until the frontend serves it.
    ///
    /// # Errors
    ///
    /// When the policy is not taken.
    pub async fn add_profile(&self, name: &str, base: &str, changes: &str) -> Result<()> {
        self.write_profile(name, base, changes)?;
        self.put_in_force(&self.ready().policy_dir).await?;
        let capabilities = format!("{}?operation=GetCACaps", self.url_of(name)?);
        wait::until("the profile at the frontend", wait::REACTION, async || {
            Ok((http::get(&capabilities).await?.status == 200).then_some(()))
        })
        .await
    }

    /// The same without activating anything.
    ///
    /// # Errors
    ///
    /// When the files cannot be read or written.
    pub fn write_profile(&self, name: &str, base: &str, changes: &str) -> Result<()> {
        let dir = &self.ready().policy_dir;
        let text = std::fs::read_to_string(dir.join(format!("{base}.toml")))?;
        let mut profile: Table = text.parse()?;
        profile.remove("default");
        merge(&mut profile, changes.parse().context("the changes")?);
        std::fs::write(dir.join(format!("{name}.toml")), toml::to_string(&profile)?)?;
        Ok(())
    }

    /// Adds forms for every profile of the policy directory to hsm.toml, and starts the demo again.
    ///
    /// # Errors
    ///
    /// When no form covers a profile, or the demo does not come up.
    pub async fn add_forms(&mut self) -> Result<()> {
        let policy = self.ready().policy_dir.display().to_string();
        let printed = self.assay(&["policy", "forms", &policy]).await?;
        let mut forms: Table = printed.succeeded()?.text().parse()?;
        let named = forms.get_mut("form").and_then(Value::as_array_mut);
        for form in named.context("there are forms")? {
            if let Some(Value::String(name)) = form.get_mut("name") {
                name.push_str("-added");
            }
        }
        self.stop().await?;
        let file = self.path("hsm.toml");
        let text = std::fs::read_to_string(&file)? + "\n" + &toml::to_string(&forms)?;
        std::fs::write(file, text)?;
        self.serve().await
    }

    /// A copy of the demo's profile `devices` that takes P-256 and P-384 too.
    ///
    /// # Errors
    ///
    /// When the policy is not taken.
    pub async fn add_elliptic_profile(&self, name: &str) -> Result<()> {
        self.add_profile(name, "devices", ELLIPTIC).await
    }

    /// The SCEP URL of a profile that the demo did not make.
    ///
    /// # Errors
    ///
    /// When the demo has no `devices`.
    pub fn url_of(&self, profile: &str) -> Result<String> {
        let base = self.url("devices")?;
        let base = base.strip_suffix("devices").context(base.to_owned())?;
        Ok(format!("{base}{profile}"))
    }

    /// A one-time challenge of any profile for exactly this name.
    ///
    /// # Errors
    ///
    /// When it is not issued.
    pub async fn challenge_of(&self, profile: &str, subject: &str) -> Result<String> {
        let arguments = [
            "challenge",
            "issue",
            "--profile",
            profile,
            "--subject",
            subject,
        ];
        let printed = self.assay(&arguments).await?.succeeded()?.text();
        Ok(printed.trim_end_matches('\n').to_owned())
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
