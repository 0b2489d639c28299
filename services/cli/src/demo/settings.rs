//! Values of the demo's own configuration files, changed where they stand.

use std::path::Path;

use assay_console::failure::Outcome;
use assay_console::files;

/// Changes values of a configuration file, each by its section and key.
pub(super) fn edit(path: &Path, changes: &[(&str, &str, &str)]) -> Outcome {
    let mut text = files::read_text(path)?;
    for (section, key, value) in changes {
        text = set(&text, section, key, value);
    }
    files::rewrite(path, text.as_bytes())
}

/// Sets `key` of `[section]` in the text of a configuration file, and leaves every other line as it is.
fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let value = toml::Value::String(value.to_owned());
    let mut current = String::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(name) = line
            .trim()
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            current = name.to_owned();
        }
        let is_key = line
            .split_once('=')
            .is_some_and(|(name, _)| name.trim() == key);
        lines.push(if is_key && current == section {
            format!("{key} = {value}")
        } else {
            line.to_owned()
        });
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_set_and_the_rest_is_left() {
        let text = "# note\n[a]\nlisten = \"1\"\n[b]\nlisten = \"2\" # kept\n";
        assert_eq!(
            set(text, "a", "listen", "9"),
            "# note\n[a]\nlisten = \"9\"\n[b]\nlisten = \"2\" # kept\n"
        );
    }
}
