//! `docs/settings.md`: every key of the settings files and every flag of a training. The keys, what they may be and what
//! they are by default are asked of the types that read them; the words are those of the code's own comments.

use super::Cli;
use super::wording::flags;
use clap::{Arg, CommandFactory};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sprig_learn::recipe::AdamW;
use sprig_learn::setting::Setting;
use sprig_protocol::settings::{
    AgentSettings, Connection, CoordinatorSettings, Flow, LocalData, ModelSettings, NoiseTable, ReadOut,
    RoundsTable, Server, TrainTable, keys,
};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The value of a key that has keys of its own.
const TABLE: &str = "a table";

const HEAD: &str = "# Settings

Every key of `fleet.toml` and `device.toml`, and every flag of `sprig train`. This text is made from the code; after a
change, `SPRIG_WRITE_DOCUMENTS=1 cargo test -p sprig --bin sprig settings_document` writes it anew.

An unknown key is an error. Paths are relative to the folder of the file they stand in. A size is written `300MiB`,
`1GB`, `64k`, a number of bytes, or `80%` of the memory at hand.
";

#[test]
fn settings_document_is_that_of_the_code() {
    let path = root().join("docs/settings.md");
    let text = document();
    if std::env::var_os("SPRIG_WRITE_DOCUMENTS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{} is not what the code says; its head tells how to write it anew",
        path.display()
    );
}

/// Each setting that a message may name stands in the document, as a key or as a flag.
#[test]
fn what_messages_name_is_documented() {
    let text = document();
    for &setting in Setting::ALL {
        let key = keys(setting, None);
        let (table, key) = key[1..].split_once("] ").unwrap();
        let (table, key) = match key.split_once('.') {
            Some((inner, key)) => (format!("{table}.{inner}"), key),
            None => (table.to_owned(), key),
        };
        let section = text.split(&format!("### `[{table}]`")).nth(1).unwrap_or("");
        let section = section.split("\n#").next().unwrap_or("");
        let as_key = section.contains(&format!("| `{key}` |"));
        assert!(as_key || text.contains(&format!("| `{}` |", flags(setting, None))), "{setting:?}");
    }
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    let connection: Connection = toml::from_str("name = \"home\"\nbroker = \"mqtt://b\"").unwrap();
    let model: ModelSettings = toml::from_str("path = \"m.gguf\"").unwrap();
    let data: LocalData = toml::from_str("train = \"t.jsonl\"").unwrap();
    text += "\n## `fleet.toml`, of the coordinator\n";
    text += &section("fleet", "Connection", &connection, &["name", "broker"]);
    text += &section("model", "ModelSettings", &model, &["path"]);
    text += &section("rounds", "RoundsTable", &RoundsTable::default(), &[]);
    text += "\n`[train]` is what every device trains, and travels to them. What it leaves out follows from `mode`,\n";
    text += "`local_optimizer` and `server.rule`, or from the `preset`.\n";
    text += &section("train", "TrainTable", &TrainTable::default(), &[]);
    text += &section("train.adamw", "AdamW", &AdamW::default(), &[]);
    text += &section("train.server", "Server", &Server::default(), &[]);
    text += &section("train.readout", "ReadOut", &ReadOut::default(), &[]);
    let noise: NoiseTable = toml::from_str("dp = 8").unwrap();
    text += &section("train.noise", "NoiseTable", &noise, &["dp"]);
    text += &section("train.flow", "Flow", &Flow::default(), &[]);
    text += &section("coordinator", "CoordinatorSettings", &CoordinatorSettings::default(), &[]);
    text += "\n## `device.toml`, of one device\n\n`[fleet]` (with `id`) and `[model]` as above.\n";
    text += &section("data", "LocalData", &data, &["train"]);
    text += &section("agent", "AgentSettings", &AgentSettings::default(), &[]);
    text + &flags_of_train()
}

/// The table of one table of a file; `needed` keys have no default.
fn section<T: DeserializeOwned + Serialize>(table: &str, name: &str, default: &T, needed: &[&str]) -> String {
    let meanings = meanings(name);
    let defaults = defaults_of(default);
    let mut text = format!("\n### `[{table}]`\n\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for key in known_keys::<T>() {
        let found = meanings.iter().find(|(field, _)| *field == key);
        let (_, meaning) = found.unwrap_or_else(|| panic!("{name}.{key} has no comment"));
        let value = value_of::<T>(&key);
        let default = match defaults.iter().find(|(k, _)| *k == key) {
            _ if needed.contains(&key.as_str()) => "needed".to_owned(),
            _ if value == TABLE => "see below".to_owned(),
            Some((_, value)) => format!("`{value}`"),
            None => "none".to_owned(),
        };
        let _ = writeln!(text, "| `{key}` | {value} | {default} | {meaning} |");
    }
    text
}

/// Keys and values as a file would have them, but for those in tables of their own.
fn defaults_of(default: &impl Serialize) -> Vec<(String, String)> {
    let text = toml::to_string(default).unwrap();
    let lines = text.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = ")).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// The keys that serde knows: it lists them when it meets another.
fn known_keys<T: DeserializeOwned>() -> Vec<String> {
    let message = toml::from_str::<T>("no_such_key = 1").err().unwrap().message().to_owned();
    let known = message.split_once("expected ").unwrap().1;
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What a key may be: what its type says it expected when it meets what nothing is.
fn value_of<T: DeserializeOwned>(key: &str) -> String {
    let message = toml::from_str::<T>(&format!("{key} = 1979-05-27")).err().unwrap().message().to_owned();
    let expected = message.split_once("expected ").unwrap_or_else(|| panic!("{key}: {message}")).1;
    match expected {
        "u16" | "u32" | "u64" => "a whole number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "path string" => "a path".to_owned(),
        "a sequence" => "a list of strings".to_owned(),
        table if table.starts_with("one of `") => TABLE.to_owned(),
        other => other.replace('|', "or"),
    }
}

/// Fields of a struct and the comments on them, from its source.
fn meanings(name: &str) -> Vec<(String, String)> {
    let sources =
        ["fleet/protocol/src/settings", "learn/src/recipe"].map(|folder| root().join("runtime").join(folder));
    let files = sources.iter().flat_map(|folder| fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()));
    let source = files.filter_map(|file| fs::read_to_string(file).ok()).find_map(|text| {
        let body = text.split_once(&format!("pub struct {name} {{\n"))?.1;
        Some(body.split_once("\n}").unwrap().0.to_owned())
    });
    let (mut fields, mut comment) = (Vec::new(), String::new());
    for line in source.unwrap_or_else(|| panic!("no source of {name}")).lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("/// ") {
            comment = format!("{comment} {words}").trim().to_owned();
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            fields.push((field.to_owned(), std::mem::take(&mut comment)));
        }
    }
    fields
}

fn flags_of_train() -> String {
    let cli = Cli::command();
    let train = cli.find_subcommand("train").unwrap();
    let mut text = "\n## Flags of `sprig train`\n\n| flag | the same as a key | default | meaning |\n|---|---|---|---|\n".to_owned();
    for arg in train
        .get_arguments()
        .filter(|arg| arg.get_long().is_some_and(|long| long != "help" && long != "version"))
    {
        let flag = format!("--{}", arg.get_long().unwrap());
        let setting = Setting::ALL.iter().find(|s| flags(**s, None) == flag);
        let key = setting.map(|s| keys(*s, None)).filter(|key| is_key(key));
        let key = key.map_or("–".to_owned(), |key| format!("`{key}`"));
        let _ = writeln!(text, "| `{flag}` | {key} | {} | {} |", default_of(arg), meaning_of(arg));
    }
    text
}

/// Whether `[table] key` is in a settings file.
fn is_key(key: &str) -> bool {
    let (table, key) = key[1..].split_once("] ").unwrap();
    let known = match (table, key.split_once('.')) {
        ("model", _) => known_keys::<ModelSettings>(),
        ("data", _) => known_keys::<LocalData>(),
        (_, Some(("adamw", _))) => known_keys::<AdamW>(),
        (_, Some(("readout", _))) => known_keys::<ReadOut>(),
        (_, Some(("noise", _))) => known_keys::<NoiseTable>(),
        (_, Some(("flow", _))) => known_keys::<Flow>(),
        (_, Some(_)) => known_keys::<Server>(),
        _ => known_keys::<TrainTable>(),
    };
    let last = key.rsplit('.').next();
    known.iter().any(|known| Some(known.as_str()) == last)
}

fn default_of(arg: &Arg) -> String {
    let defaults: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    match defaults.is_empty() {
        true if arg.is_required_set() => "needed".to_owned(),
        true => "none".to_owned(),
        false => format!("`{}`", defaults.join(",")),
    }
}

fn meaning_of(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let names: Vec<_> = arg.get_possible_values().iter().map(|v| format!("`{}`", v.get_name())).collect();
    let takes_value = arg.get_action().takes_values();
    let names =
        if takes_value && !names.is_empty() { format!(" ({})", names.join(", ")) } else { String::new() };
    format!("{}{names}", help.split_whitespace().collect::<Vec<_>>().join(" ")).replace('|', "or")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
