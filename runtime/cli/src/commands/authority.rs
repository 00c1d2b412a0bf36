//! `sprig fleet requests`, `approve`, `reject`, `revoke`, `certificates`: who may be in a fleet, and until when.

use crate::args::{ApproveArgs, AuthorityQuery, RejectArgs, RevokeArgs};
use crate::exit::{Exit, Failure};
use crate::output::line;
use serde_json::{Value, json};
use sprig_transport::certificate::{DAY, NOTICES, moment, now};
use sprig_transport::messages::DeviceId;
use sprig_transport::provision::{Issued, Registration, SigningRequest};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Requests in the folder, read or not.
pub fn requests(query: &AuthorityQuery) -> Result<(), Failure> {
    let registration = Registration::open(&query.authority)?;
    let waiting = waiting(&registration)?;
    if waiting.is_empty() && !query.json {
        return line(format_args!("no request waits in {}", registration.requests().display()));
    }
    for path in waiting {
        let found = SigningRequest::read(&path);
        if query.json {
            line(match &found {
                Ok(request) => {
                    json!({ "file": path, "device": request.device.as_str(), "fingerprint": request.fingerprint() })
                }
                Err(e) => json!({ "file": path, "problem": e.to_string() }),
            })?;
            continue;
        }
        match found {
            Ok(request) => line(format_args!(
                "{:<17} {}  {}",
                request.device.as_str(),
                request.fingerprint(),
                standing(&registration, &request)
            ))?,
            Err(e) => line(e)?,
        }
    }
    Ok(())
}

/// Signs what is asked for.
pub fn approve(args: &ApproveArgs) -> Result<(), Failure> {
    let mut registration = Registration::open(&args.query.authority)?;
    let files = match &args.expected {
        Some(list) => expected(list, &registration, args.query.json)?,
        None => args.requests.iter().map(|text| file_of(text, &registration)).collect(),
    };
    // All are read before the first is signed.
    let asked: Result<Vec<_>, _> = files.iter().map(|file| SigningRequest::read(file)).collect();
    let waits = registration.requests();
    for (file, request) in files.iter().zip(asked?) {
        let approved = registration.approve(&request, args.days, args.replace)?;
        if file.starts_with(&waits) {
            std::fs::remove_file(file).map_err(|e| Failure::io("remove", file, e))?;
        }
        let device = request.device.as_str();
        if args.query.json {
            line(json!({
                "device": device,
                "folder": approved.folder,
                "fingerprint": approved.key,
                "not_after": approved.not_after,
                "revoked": approved.revoked,
            }))?;
            continue;
        }
        line(format_args!(
            "{device}: {}, valid until {}; carry it to the device of the key {}",
            approved.folder.display(),
            moment(approved.not_after),
            &approved.key[..16]
        ))?;
        if approved.revoked > 0 {
            line(
                "             the board before is shut out once the broker has the new list: see `sprig fleet revoke`",
            )?;
        }
    }
    Ok(())
}

/// Takes a request out of the folder.
pub fn reject(args: &RejectArgs) -> Result<(), Failure> {
    let registration = Registration::open(&args.query.authority)?;
    let device = named(&args.device)?;
    let file = registration.requests().join(format!("{device}.csr"));
    std::fs::remove_file(&file).map_err(|e| Failure::io("remove", &file, e))?;
    if args.query.json { line(json!({ "done": true })) } else { line(format_args!("{device}: rejected")) }
}

/// Shuts a device out for good.
pub fn revoke(args: &RevokeArgs) -> Result<(), Failure> {
    let device = named(&args.device)?;
    let revoked = Registration::open(&args.query.authority)?.revoke(device.as_str())?;
    if args.query.json {
        return line(json!({
            "device": device.as_str(),
            "revoked": revoked.count,
            "list": revoked.list,
            "heeded": revoked.heeded,
        }));
    }
    line(format_args!("{device}: {} certificates revoked", revoked.count))?;
    line(format_args!(
        "list         {}: copy it to the broker's folder, if that is elsewhere, and",
        revoked.list.display()
    ))?;
    line("             send mosquitto a SIGHUP: new connections are refused from then on;")?;
    line("             one that stands ends when mosquitto is started again")?;
    if !revoked.heeded {
        line(
            "             the broker's mosquitto.conf does not name the list yet: add the line `crlfile revoked.crl`",
        )?;
        line("             below `keyfile` and start mosquitto again")?;
    }
    Ok(())
}

/// What was signed and when it ends, the soonest first.
pub fn certificates(query: &AuthorityQuery) -> Result<(), Failure> {
    let registration = Registration::open(&query.authority)?;
    let mut issued: Vec<&Issued> = registration.issued().iter().collect();
    issued.sort_by_key(|one| (one.revoked.is_some(), one.not_after));
    if query.json {
        return issued.iter().try_for_each(|one| line(json!(one)));
    }
    let now = now();
    line("name              role         valid until              state")?;
    for one in issued {
        line(format_args!(
            "{:<17} {:<12} {:<24} {}",
            one.id,
            role(one),
            moment(one.not_after),
            state(one, now)
        ))?;
    }
    Ok(())
}

fn role(one: &Issued) -> String {
    match json!(one.role) {
        Value::String(name) => name,
        _ => String::new(),
    }
}

fn state(one: &Issued, now: i64) -> String {
    let days = (one.not_after - now).div_euclid(DAY);
    match one.revoked {
        Some(at) => format!("revoked {}", moment(at)),
        None if days < 0 => "ended".to_owned(),
        None if days < NOTICES[0] => format!("ends in {days} days"),
        None => "valid".to_owned(),
    }
}

/// What is known of a name that asks.
fn standing(registration: &Registration, request: &SigningRequest) -> &'static str {
    let (id, key, now) = (request.device.as_str(), request.fingerprint(), now());
    let mut holding = registration.issued().iter().filter(|i| i.id == id && i.holds(now));
    match holding.next() {
        None => "new",
        Some(held) if held.key == key => "has a certificate of this key",
        Some(_) => "another key has a certificate under this name",
    }
}

fn named(text: &str) -> Result<DeviceId, Failure> {
    DeviceId::parse(text).map_err(|e| Failure::new(Exit::Usage, e))
}

/// A file, or the request of a name that waits.
fn file_of(text: &str, registration: &Registration) -> PathBuf {
    match DeviceId::parse(text) {
        Ok(device) => registration.requests().join(format!("{device}.csr")),
        Err(_) => PathBuf::from(text),
    }
}

/// Files in the folder of requests, by name.
fn waiting(registration: &Registration) -> Result<Vec<PathBuf>, Failure> {
    let folder = registration.requests();
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Failure::io("look into", &folder, e)),
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "csr"));
    files.sort();
    Ok(files)
}

/// Requests that wait and are in the list; those that are not stay, and are named.
fn expected(list: &Path, registration: &Registration, json: bool) -> Result<Vec<PathBuf>, Failure> {
    let text = std::fs::read_to_string(list).map_err(|e| Failure::io("read", list, e))?;
    let mut known = BTreeMap::new();
    for (i, row) in text.lines().enumerate() {
        let mut words = row.split('#').next().unwrap_or_default().split_whitespace();
        let Some(id) = words.next() else { continue };
        let wrong = || {
            let why =
                format!("{}: line {}: a name, and behind it a fingerprint or nothing", list.display(), i + 1);
            Failure::new(Exit::BadFile, why)
        };
        let device = DeviceId::parse(id).map_err(|_| wrong())?;
        let fingerprint = words.next().map(str::to_owned);
        let is_hex = |f: &String| f.len() == 64 && f.bytes().all(|b| b.is_ascii_hexdigit());
        if words.next().is_some() || !fingerprint.iter().all(is_hex) {
            return Err(wrong());
        }
        known.insert(device.to_string(), fingerprint.map(|f| f.to_ascii_lowercase()));
    }
    let mut files = Vec::new();
    for path in waiting(registration)? {
        let problem = match SigningRequest::read(&path) {
            Ok(request) => match known.get(request.device.as_str()) {
                Some(key) if key.as_ref().is_none_or(|key| *key == request.fingerprint()) => {
                    files.push(path);
                    continue;
                }
                Some(_) => format!("{}: its key is not the one in the list", request.device),
                None => format!("{}: not in the list", request.device),
            },
            Err(e) => e.to_string(),
        };
        if json {
            line(json!({ "file": path, "left": problem }))?;
        } else {
            line(format_args!("{problem}; left in {}", registration.requests().display()))?;
        }
    }
    Ok(files)
}
