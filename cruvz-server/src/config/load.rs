//! From a file and the environment to a [`Config`], with errors that say where.

use std::{fs, io, path::Path};

use toml::{Table, Value};

use super::Config;

/// What every variable of the environment that configures Cruvz begins with.
const PREFIX: &str = "CRUVZ__";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file does not say something we understand; `message` has line, column and the line itself.
    #[error("{path}: {message}")]
    Syntax {
        /// Which file.
        path: String,
        /// What is wrong where.
        message: String,
    },
    /// A variable of the environment does not fit.
    #[error("the environment variable {name}: {message}")]
    Variable {
        /// Which.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// Values that do not go together.
    #[error("{0}")]
    Invalid(String),
}

/// The configuration in `file` (none: the defaults) with the `CRUVZ__SECTION__KEY` variables among `environment` over it.
///
/// # Errors
/// The file is not readable, a key is unknown or a value does not fit. The error says in which line or variable, and
/// never repeats a value of the environment.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let text = match file {
        Some(path) => fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.display().to_string(), source })?,
        None => String::new(),
    };
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        path: file.map(|path| path.display().to_string()).unwrap_or_default(),
        message: redacted(&error, &text),
    };
    // Read as it stands first, for the line numbers; a table has none.
    let mut config: Config = toml::from_str(&text).map_err(syntax)?;
    let mut table: Table = toml::from_str(&text).map_err(syntax)?;
    let mut variables: Vec<_> =
        environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    for (name, value) in variables {
        config =
            overlay(&mut table, &name, &value).map_err(|message| ConfigError::Variable { name, message })?;
    }
    Ok(config)
}

/// Sets one variable in `table` and reads the whole again.
fn overlay(table: &mut Table, name: &str, value: &str) -> Result<Config, String> {
    let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
    // `8080` may be meant as a number or as a string: as TOML first, then as text.
    let typed = format!("value = {value}").parse::<Table>().ok().and_then(|mut line| line.remove("value"));
    let candidates = typed.into_iter().chain([Value::String(value.to_owned())]);
    let mut first_error = None;
    for candidate in candidates {
        let mut attempt = table.clone();
        set(&mut attempt, &path, candidate)?;
        match Config::deserialize_table(&attempt) {
            Ok(config) => {
                *table = attempt;
                return Ok(config);
            }
            Err(error) => _ = first_error.get_or_insert(error),
        }
    }
    Err(first_error.unwrap_or_default())
}

fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    match path {
        [] => Err("names no key".into()),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [section, rest @ ..] => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            let inner = inner.as_table_mut().ok_or_else(|| format!("{section} is no section"))?;
            set(inner, rest, value)
        }
    }
}

impl Config {
    fn deserialize_table(table: &Table) -> Result<Self, String> {
        // The message alone: where it stands in a table made up here helps nobody.
        table.clone().try_into::<Self>().map_err(|error| error.message().to_owned())
    }
}

/// The error with its line, unless that line may hold a secret: then with the line's number only.
fn redacted(error: &toml::de::Error, text: &str) -> String {
    let Some(span) = error.span() else { return error.to_string() };
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let shown = text.lines().nth(line - 1).unwrap_or_default().to_lowercase();
    if shown.contains("key") || shown.contains("token") {
        return format!("line {line}: {}", error.message());
    }
    error.to_string().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::config::LogFormat;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        load(Some(file.path()), environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    fn complaint(text: &str, environment: &[(&str, &str)]) -> String {
        read(text, environment).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(read("", &[]).unwrap(), Config::default());
        assert_eq!(load(None, []).unwrap(), Config::default());
    }

    #[test]
    fn the_example_has_every_key_with_its_default() {
        let example = include_str!("../../cruvz.example.toml");
        assert_eq!(read(example, &[]).unwrap(), Config::default());
        let keys = |text: &str| {
            let table: Table = text.parse().unwrap();
            let mut keys = Vec::new();
            flatten("", &table, &mut keys);
            keys
        };
        let printed = toml::to_string(&Config::default()).unwrap();
        assert_eq!(keys(example), keys(&printed));
        let optional = example.replace("\n#", "\n");
        let lines = optional.lines().filter(|line| line.contains(" = ") || line.starts_with('['));
        let all = read(&lines.collect::<Vec<_>>().join("\n"), &[]).unwrap();
        assert!(all.tls.is_some() && all.access.admin_token.is_some() && all.publish.len() == 1);
    }

    fn flatten(prefix: &str, table: &Table, keys: &mut Vec<String>) {
        for (key, value) in table {
            match value {
                Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, keys),
                _ => keys.push(format!("{prefix}{key}")),
            }
        }
        keys.sort();
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it_and_its_line() {
        let error = complaint("[http]\nlisten = ':1'\nlissten = ':2'\n", &[]);
        assert!(error.contains("line 3") && error.contains("lissten") && error.contains("listen"), "{error}");
        let error = complaint("\n\n[engine.hub]\ngrace = 3\n", &[]);
        assert!(error.contains("line 4") && error.contains("grace_ms"), "{error}");
    }

    #[test]
    fn a_wrong_type_is_an_error_that_names_the_line() {
        let error = complaint("[drain]\n\ntimeout_ms = 'soon'\n", &[]);
        assert!(error.contains("line 3") && error.contains("soon"), "{error}");
    }

    #[test]
    fn an_error_beside_a_secret_does_not_show_it() {
        for text in ["[[publish]]\nkey = 'hunter2' x", "[access]\nadmin_token = ['hunter2']"] {
            let error = complaint(text, &[]);
            assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        }
        let error =
            complaint("", &[("CRUVZ__ACCESS__ADMIN_TOKEN", "[\"hunter2\"]"), ("CRUVZ__X", "hunter2")]);
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let config = read(
            "[http]\nlisten = ':1'\nmax_connections = 5\n",
            &[
                ("CRUVZ__HTTP__LISTEN", ":2"),
                ("CRUVZ__ENGINE__HUB__GRACE_MS", "7"),
                ("CRUVZ__LOG__FORMAT", "json"),
                ("CRUVZ__ACCESS__REQUIRE_KEY", "true"),
                ("CRUVZ__ACCESS__ADMIN_TOKEN", "12345"),
                ("CRUVZ__HTTP__CORS_ORIGINS", "['https://a.example']"),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
        assert_eq!((config.http.listen.as_str(), config.http.max_connections), (":2", 5));
        assert_eq!(config.engine.hub.grace_ms, 7);
        assert_eq!(config.log.format, LogFormat::Json);
        assert!(config.access.require_key);
        assert!(config.access.admin_token.unwrap().matches("12345"));
        assert_eq!(config.http.cors_origins, ["https://a.example"]);
    }

    #[test]
    fn an_unknown_or_unfit_variable_is_an_error_that_names_it() {
        for (name, value) in [
            ("CRUVZ__HTTP__PORT", "1"),
            ("CRUVZ__DRAIN__TIMEOUT_MS", "soon"),
            ("CRUVZ__RTMP__LISTEN__X", "1"),
        ] {
            let error = complaint("", &[(name, value)]);
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_and_has_no_secret() {
        let config = read("[access]\nadmin_token = 'hunter2'\n[[publish]]\nkey = 'hunter3'\n", &[]).unwrap();
        let printed = toml::to_string_pretty(&config).unwrap();
        assert!(!printed.contains("hunter") && !format!("{config:?}").contains("hunter"), "{printed}");
        assert!(complaint(&printed, &[]).contains("left out"));
        let plain = toml::to_string_pretty(&Config::default()).unwrap();
        assert_eq!(read(&plain, &[]).unwrap(), Config::default());
    }
}
