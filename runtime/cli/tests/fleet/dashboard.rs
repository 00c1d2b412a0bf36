//! The dashboard of a coordinator, for other machines: with its token, encrypted.

use super::world::World;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const TOKEN: &str = "a-token-of-this-fleet";

/// What curl gets from `url`, with these options.
fn curl(world: &World, url: &str, options: &[&str]) -> (bool, String) {
    let ca = world.folder("fleet/broker/ca.crt");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "30", "--cacert"]).arg(ca);
    let done =
        curl.args(options).arg(url).output().expect("cannot run curl; install the Debian package curl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.success(), text(&done.stdout) + &text(&done.stderr))
}

#[test]
fn other_machines_look_with_the_token_over_tls() {
    let mut world = World::new("");
    let config = "fleet/coordinator/fleet.toml";
    let text = String::from_utf8(world.scene.bytes(config)).unwrap();
    let start = format!("coordinate --config {config}");
    let write = |more: &str| world.scene.write(config, &format!("{text}dashboard = \"0.0.0.0:0\"\n{more}"));
    write("");
    world.scene.fails(2, &start, &["dashboard_beyond_loopback", "dashboard_token_file"]);
    write("dashboard_beyond_loopback = true\n");
    world.scene.fails(2, &start, &["dashboard_beyond_loopback", "dashboard_token_file"]);
    let open = "dashboard_beyond_loopback = true\ndashboard_token_file = \"token\"\n";
    write(open);
    let token = world.folder("fleet/coordinator/token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, Permissions::from_mode(0o644)).unwrap();
    world.scene.fails(2, &start, &["coordinator/token", "others may read it", "chmod 600"]);
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    let identity = "dashboard_cert = \"../broker/server.crt\"\ndashboard_key = \"../broker/ca.crt\"\n";
    write(&format!("{open}{identity}"));
    world.scene.fails(2, &start, &["broker/ca.crt", "dashboard_key"]);
    write(&format!("{open}{}", identity.replace("ca.crt", "server.key")));
    world.start("coordinator");
    let told = world.until("the dashboard", |_, e| e["event"] == "dashboard");
    let url = told["url"].as_str().unwrap();
    assert!(url.starts_with("https://0.0.0.0:") && told["encrypted"] == true, "{told}");
    let url = url.replace("0.0.0.0", "localhost");

    let bearer = format!("Authorization: Bearer {TOKEN}");
    let view = format!("{url}api/view");
    let (done, refused) = curl(&world, &view, &[]);
    assert!(!done && refused.contains("asks for its token"), "{refused}");
    let (done, answer) = curl(&world, &view, &["--header", &bearer, "--retry", "30", "--retry-delay", "1"]);
    assert!(done, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["fleet"], &answer["epoch"]), (&"test".into(), &1.into()), "{answer}");
    // The form, and then the page by the session, which goes over an encrypted connection alone.
    let (_, form) = curl(&world, &url, &[]);
    assert!(form.contains("<form method=\"post\""), "{form}");
    let cookies = world.folder("cookies").display().to_string();
    let given = format!("token={TOKEN}");
    let session = ["--location", "--cookie-jar", &cookies, "--cookie", &cookies, "--data", &given];
    let (done, page) = curl(&world, &format!("{url}login"), &session);
    assert!(done && page.contains("id=\"devices\""), "{page}");
    let kept = String::from_utf8(world.scene.bytes("cookies")).unwrap();
    assert!(kept.contains("#HttpOnly_localhost\tFALSE\t/\tTRUE"), "{kept}");
    // Who speaks no TLS gets nothing.
    assert!(!curl(&world, &url.replace("https", "http"), &[]).0);
}
