//! The command that is called when somebody should look.

use super::scene::Scene;
use super::world::{Setup, World, device};
use serde_json::Value;
use std::time::Duration;

/// Two rounds without any device's update: the command gets the first as one line of JSON, the second comes too soon after it and
/// is counted; that the command fails is told, and the run goes on to its end.
#[test]
fn a_command_hears_of_an_abandoned_round_and_its_failure_stops_nothing() {
    let mut world = World::with(Scene::new(), &Setup { devices: 1, rounds: 2, ..Setup::default() });
    let (config, got) = ("fleet/coordinator/fleet.toml", world.folder("got").display().to_string());
    let script = format!("cat >> {got}; echo \"$1 $SPRIG_ALERT\" >> {got}.kinds; exit 3\n");
    world.scene.write("hook.sh", &script);
    let mut text = String::from_utf8(world.scene.bytes(config)).unwrap();
    text = text.replace("deadline_seconds = 60", "deadline_seconds = 1\nattempts = 1");
    text += &format!("alert = [\"sh\", {:?}, \"word\"]\n", world.folder("hook.sh"));
    world.scene.write(config, &text);
    world.start("coordinator");
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    world.scene.done(&format!("fleet pause --config {config}"));
    world.start(&device(1));
    world.until("a device", |_, e| e["event"] == "joined");
    world.freeze(&device(1), true);
    world.scene.done(&format!("fleet resume --config {config}"));
    let failed = world.until("a failed alert", |_, e| e["event"] == "alert-failed");
    assert_eq!(failed["alert"], "abandoned", "{failed}");
    assert!(failed["problem"].as_str().unwrap().contains("sh ended with exit status: 3"), "{failed}");
    let left_out = world.until("what was left out", |_, e| e["event"] == "alerts-left-out");
    assert_eq!(left_out["count"], 1, "{left_out}");
    let code = loop {
        match world.ended("coordinator") {
            Some((code, _)) => break code,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(code, Some(9));
    let lines = String::from_utf8(world.scene.bytes("got")).unwrap();
    let line: Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(
        (&line["alert"], &line["fleet"], &line["left_out"]),
        (&"abandoned".into(), &"test".into(), &0.into())
    );
    assert_eq!(
        (&line["event"]["round"], &line["event"]["state"]),
        (&0.into(), &"abandoned".into()),
        "{line}"
    );
    assert!(line["text"].as_str().unwrap().starts_with("round 0 abandoned: 0 of 1 reported"), "{line}");
    assert_eq!(world.scene.bytes("got.kinds"), b"word abandoned\n");
}
