//! `sprig enrol`: a device's own key, the request to certify it, and the certificate that comes back.

use crate::args::EnrolArgs;
use crate::exit::{Exit, Failure};
use crate::output::line;
use serde_json::json;
use sprig_transport::certificate::moment;
use sprig_transport::enrol::{ask, install};

pub fn run(args: &EnrolArgs) -> Result<Exit, Failure> {
    if let Some(certificate) = &args.install {
        let installed = install(&args.dir, certificate)?;
        let (device, file) = (installed.device.as_str(), installed.certificate.display());
        if args.json {
            line(json!({
                "device": device,
                "certificate": installed.certificate,
                "not_after": installed.not_after,
            }))?;
        } else {
            line(format_args!("{device}: {file}, valid until {}", moment(installed.not_after)))?;
        }
        return Ok(Exit::Done);
    }
    // The command line has one of the two.
    let asked = ask(&args.dir, args.id.as_deref().unwrap_or_default())?;
    if args.json {
        line(json!({
            "key": asked.key,
            "new_key": asked.new_key,
            "request": asked.request,
            "fingerprint": asked.fingerprint,
        }))?;
        return Ok(Exit::Done);
    }
    let key = if asked.new_key { "made; it stays here" } else { "there already" };
    line(format_args!("key          {}: {key}", asked.key.display()))?;
    line(format_args!("fingerprint  {}", asked.fingerprint))?;
    line(format_args!("request      {}: carry it to the authority, then", asked.request.display()))?;
    line("             sprig fleet approve FILE, there; and with the folder that it makes, here")?;
    line(format_args!("             sprig enrol --dir {} --install FOLDER/device.crt", args.dir.display()))?;
    Ok(Exit::Done)
}
