//! `serve` for other machines: a token, and a connection that is encrypted.

use crate::scene::Scene;
use crate::serve::{Server, request};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const TOKEN: &str = "0123456789abcdef0123";

fn token(scene: &Scene) {
    scene.write("token", &format!("{TOKEN}\n"));
    let mode =
        |mode| std::fs::set_permissions(scene.path("token"), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let serve = "serve --model tiny.gguf --listen 127.0.0.1:0 --token-file token";
    scene.fails(2, serve, &["--token-file", "chmod 600"]);
    mode(0o600);
}

#[test]
fn an_address_beyond_this_machine_wants_a_token_and_a_certificate() {
    let scene = Scene::new();
    token(&scene);
    let serve = "serve --model tiny.gguf --listen 0.0.0.0:0";
    for more in ["", "--token-file token"] {
        scene.fails(2, &format!("{serve} {more}"), &["0.0.0.0:0", "--token-file", "--tls-cert", "127.0.0.1"]);
    }
    scene.fails(2, &format!("{serve} --tls-cert a.crt"), &["--tls-key"]);
    scene.fails(2, &format!("{serve} --tls-cert token --tls-key token"), &["BEGIN CERTIFICATE"]);
    scene.fails(2, "serve --model tiny.gguf --socket door --token-file token", &["--listen"]);
}

#[test]
fn who_brings_no_token_or_a_wrong_one_is_told_so_and_guesses_ten_times() {
    let scene = Scene::new();
    token(&scene);
    let server = Server::start(&scene, "--token-file token");
    let get = |header: &str| {
        let text =
            format!("GET /v1/models HTTP/1.1\r\nHost: anything.example\r\n{header}Connection: close\r\n\r\n");
        request(server.tcp(), &text)
    };
    let bearer = |token: &str| get(&format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(bearer(TOKEN).0, 200);
    let (status, body) = get("");
    assert!(status == 401 && body.contains("asks for its token"), "{body}");
    for _ in 0..10 {
        let (status, body) = bearer("0123456789abcdef9999");
        assert!(status == 401 && body.contains("invalid_api_key"), "{body}");
    }
    assert_eq!(bearer(TOKEN).0, 429, "not even the right one is heard for a minute");
}

#[test]
#[cfg(feature = "coordinator")]
fn an_encrypted_address_is_asked_as_any_other() {
    let scene = Scene::new();
    token(&scene);
    scene.done("provision --out fleet --fleet home --host localhost --devices kitchen");
    let tls = "--tls-cert fleet/broker/server.crt --tls-key fleet/broker/server.key";
    let server = Server::start(&scene, &format!("--token-file token {tls}"));
    let url = format!("https://localhost:{}/v1/completions", server.port);
    let ask = |more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.current_dir(scene.path(".")).args([
            "--silent",
            "--max-time",
            "60",
            "--write-out",
            "%{http_code}",
        ]);
        curl.args(["--json", r#"{"prompt":"a","max_tokens":2,"stream":true}"#, &url]).args(more);
        let printed = curl.output().expect("curl is installed with what the tests need");
        String::from_utf8(printed.stdout).unwrap()
    };
    let header = format!("Authorization: Bearer {TOKEN}");
    let trusting = ["--cacert", "fleet/broker/ca.crt", "--header", &header];
    let answer = ask(&trusting);
    assert!(answer.contains("data: [DONE]") && answer.ends_with("200"), "{answer}");
    assert!(ask(&trusting[..2]).ends_with("401"));
    assert_eq!(ask(&trusting[2..]), "000", "a certificate of nobody known was believed");
    let (mut plain, mut reply) = (server.tcp(), Vec::new());
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let _ = plain.read_to_end(&mut reply); // it hangs up
    assert!(!String::from_utf8_lossy(&reply).contains("HTTP"), "it answers unencrypted");
}
