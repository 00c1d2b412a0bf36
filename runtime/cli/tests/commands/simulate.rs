//! `sprig simulate` with a model: a fleet that learns, in one process.

use super::scene::{Scene, has_keys};

/// A study of a few seconds: six devices, two of them a round.
const STUDY: &str = "simulate --model tiny.gguf --data label.jsonl --eval-data label.jsonl --devices 6 --per-round 2 \
                     --rounds 3 --evaluate-every 2 --threads 1 --set len=64 --set batch=2 --set tangents=2 \
                     --set rank=2 --set layers=1..3 --set labels=[\"down\",\"up\"] --json";

#[test]
fn a_fleet_learns_in_one_process() {
    let scene = Scene::new();
    let ran = scene.done(&format!("{STUDY} --seed 3 --out a.gguf --curve curve.html --cache kept"));
    let events = ran.events();
    let names: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    let wanted = ["plan", "dealt", "evaluated", "round", "round", "evaluated", "round", "evaluated", "done"];
    assert_eq!(names, wanted, "{}", ran.shown());
    assert_eq!((events[1]["devices"].as_u64(), events[1]["excluded"].as_u64()), (Some(6), Some(0)));
    for event in events.iter().filter(|e| e["event"] == "round" || e["event"] == "evaluated") {
        let keys = [
            "round",
            "passes",
            "train_loss",
            "bytes_up_per_device_round",
            "bytes_down_per_device_round",
            "seconds",
        ];
        has_keys(event, &keys);
        let judged = event["event"] == "evaluated";
        assert!(
            ["loss", "accuracy", "interval", "n"].iter().all(|k| event.get(k).is_some() == judged),
            "{event}"
        );
        // One batch a round: 1 + 2 tangents in two of three blocks for one device, 1 + 2 in one of them for the other.
        let [passes, round] = ["passes", "round"].map(|key| event[key].as_f64().unwrap());
        assert!((passes - 2.0 * round).abs() < 1e-9, "{event}");
    }
    let done = ran.last();
    let keys = [
        "accuracy_before",
        "interval_before",
        "accuracy_after",
        "interval_after",
        "seconds",
        "adapter_digest",
    ];
    has_keys(&done, &keys);
    assert_eq!(
        (done["devices"].as_u64(), done["rounds"].as_u64(), done["n"].as_u64()),
        (Some(6), Some(3), Some(12))
    );
    assert_eq!(done["mode"], "per-iteration");
    assert!(done["peak_rss_bytes"].as_u64().unwrap() <= done["budget_bytes"].as_u64().unwrap());
    let page = String::from_utf8(scene.bytes("curve.html")).unwrap();
    assert!(page.contains("6 devices, 3 rounds") && !page.contains("<script"));
    assert_eq!(scene.list().iter().filter(|n| n.ends_with(".gguf")).count(), 2);
    scene.done("eval --model tiny.gguf --adapter a.gguf --task label --data label.jsonl --json");

    // The same for people.
    let told = scene.done(&format!("{} --seed 3", STUDY.replace(" --json", ""))).out;
    let told: Vec<&str> = told.lines().collect();
    assert!(told.iter().any(|l| l.starts_with("6 devices with 2 to 2 examples")), "{told:?}");
    assert_eq!(
        told.iter().filter(|l| l.starts_with("round ") && l.contains(": accuracy ")).count(),
        3,
        "{told:?}"
    );
    assert!(told.last().is_some_and(|l| l.starts_with("6 devices, 3 rounds in ")), "{told:?}");

    // From kept activations, without, and on two threads: the same adapter. With another seed another.
    assert_eq!(super::scene::names(&scene.path("kept")), ["held-out-1.prefix", "train-1.prefix"]);
    let digest = |line: &str| scene.done(line).last()["adapter_digest"].clone();
    assert_eq!(digest(&format!("{STUDY} --seed 3 --cache kept")), done["adapter_digest"]);
    assert_eq!(
        digest(&format!("{STUDY} --seed 3").replace("--threads 1", "--threads 2")),
        done["adapter_digest"]
    );
    assert_ne!(digest(&format!("{STUDY} --seed 4")), done["adapter_digest"]);
    assert_ne!(digest(&format!("{STUDY} --seed 3 --skew 0.1")), done["adapter_digest"]);
    assert_ne!(digest(&format!("{STUDY} --seed 3 --set lr=0.5")), done["adapter_digest"]);
}

/// A read-out: every device gives its sums once, with noise or without.
#[test]
fn a_fleet_sums_up_in_one_process() {
    let scene = Scene::new();
    let line = format!("{STUDY} --set readout.min_examples=2 --set readout.directions=8");
    let ran = scene.done(&format!(
        "{} --seed 3 --out a.gguf --curve curve.html",
        line.replace("--per-round 2", "--per-round 6")
    ));
    let names: Vec<_> = ran.events().iter().map(|e| e["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["plan", "dealt", "evaluated", "round", "evaluated", "done"], "{}", ran.shown());
    let done = ran.last();
    assert_eq!((done["mode"].as_str(), done["rounds"].as_u64()), (Some("readout"), Some(1)));
    assert!(done["peak_rss_bytes"].as_u64().unwrap() <= done["budget_bytes"].as_u64().unwrap());
    let page = String::from_utf8(scene.bytes("curve.html")).unwrap();
    assert!(page.contains("read-out, 8 directions") && page.contains("no noise"));
    assert!(!page.contains("learning rate") && !page.contains("<script"));
    scene.done("classify --model tiny.gguf --adapter a.gguf --text down");
    let digest = |line: &str| scene.done(line).last()["adapter_digest"].clone();
    let apart = line.replace("--threads 1", "--threads 2");
    assert_eq!(digest(&format!("{apart} --seed 3")), done["adapter_digest"]);
    let noisy = format!("{line} --seed 3 --set readout.dp=4");
    assert_ne!(digest(&noisy), done["adapter_digest"]);
    scene.fails(2, &format!("{line} --liars 1 --attack scaled"), &["--liars"]);
    scene.fails(2, &format!("{line} --set readout.min_examples=9"), &["no device has 9", "min_examples"]);
    // Under veils it is the same adapter of more bytes; noise that three share is another.
    let all =
        line.replace("--per-round 2", "--per-round 6") + " --seed 3 --set readout.secure_aggregation=true";
    let hidden = scene.done(&all);
    assert_eq!(hidden.last()["adapter_digest"], done["adapter_digest"]);
    let bytes = |ran: &super::scene::Ran| ran.events()[3]["bytes_up_per_device_round"].as_f64().unwrap();
    assert!(bytes(&hidden) > 1.2 * bytes(&ran), "{} {}", bytes(&hidden), bytes(&ran));
    let shared = format!("{all} --set readout.dp=4 --set readout.noise_among=4");
    assert_ne!(digest(&shared), digest(&noisy));
    scene.fails(2, &shared.replace("--per-round 6", "--per-round 4"), &["[rounds] devices = 4", "5 to 512"]);
}

#[test]
fn the_other_ways_to_deal_and_to_train_run_too() {
    let scene = Scene::new();
    let of = |more: &str| scene.done(&format!("{STUDY} {more}"));
    assert_eq!(of("--preset paper --set local_steps=2 --labels-per-device 1").last()["mode"], "per-epoch");
    for baseline in ["fedfgd", "fedmezo", "baffle", "fwdllm"] {
        of(&format!("--preset {baseline} --set local_steps=2 --set layers=1..3"));
    }
    // Four records a device, of which one is set aside.
    let three = STUDY.replace("--devices 6", "--devices 3");
    let ran = scene.done(&format!("{three} --personal --set mode=per-epoch --set local_steps=2"));
    let judged: Vec<_> = ran.events().into_iter().filter(|e| e["event"] == "evaluated").collect();
    assert!(judged[0].get("acc_p").is_none() && judged.len() == 3, "{}", ran.shown());
    assert!(judged[1..].iter().all(|e| e["acc_g"]["n"] == 2 && e["acc_p"]["n"] == 2), "{}", ran.shown());
    assert_eq!((ran.events()[1]["fewest"].as_u64(), ran.events()[1]["most"].as_u64()), (Some(3), Some(3)));
    scene.done(&(STUDY.replace("label.jsonl", "lm.jsonl") + " --set task=lm"));
    // Fewer records than devices: some are left out, and said to be.
    let ran = scene.done(&STUDY.replace("--devices 6", "--devices 20"));
    assert_eq!(
        (ran.events()[1]["devices"].as_u64(), ran.events()[1]["excluded"].as_u64()),
        (Some(12), Some(8))
    );
    // The settings of a real fleet.
    scene.write(
        "fleet.toml",
        "[fleet]\nname = \"home\"\nbroker = \"mqtt://broker.lan\"\n[model]\npath = \"tiny.gguf\"\nbudget = \"64MiB\"\n\
         [rounds]\ncount = 2\ndevices = 3\nmin_devices = 3\n[train]\nlabels = [\"down\", \"up\"]\nlen = 64\nbatch = 2\n\
         rank = 2\nlayers = \"1..3\"\n[coordinator]\neval_data = \"label.jsonl\"\n",
    );
    let ran = scene.done("simulate --config fleet.toml --devices 6 --data label.jsonl --json");
    let done = ran.last();
    assert_eq!((done["rounds"].as_u64(), done["budget_bytes"].as_u64()), (Some(2), Some(64 << 20)));
}

#[test]
fn what_cannot_be_simulated_is_refused_by_name() {
    let scene = Scene::new();
    let cases: [(i32, &str, &[&str]); 14] = [
        (2, "--personal", &["per-epoch"]),
        (2, "--skew 0.1 --labels-per-device 1", &["--skew", "--labels-per-device"]),
        (2, "--skew 0", &["--skew", "0.001"]),
        (2, "--labels-per-device 3", &["3 labels", "1 to 2"]),
        (2, "--broker mqtt://localhost", &["--broker"]),
        (2, "--set learning_rate=1", &["learning_rate", "unknown field"]),
        (2, "--set lr", &["--set", "key=value"]),
        (2, "--set mode=never", &["never"]),
        (2, "--set layers=0..9", &["0..9", "0..3"]),
        (2, "--set labels=[]", &["labels", "name all labels"]),
        (4, "--budget 1MiB", &["--budget"]),
        (5, "--curve nowhere/c.html", &["nowhere"]),
        (5, "--out nowhere/a.gguf", &["nowhere"]),
        (5, "--config nowhere.toml", &["nowhere.toml"]),
    ];
    for (code, more, words) in cases {
        let ran = scene.fails(code, &format!("{STUDY} {more}"), words);
        assert!(!ran.out.contains("round"), "{}", ran.shown());
    }
    scene.fails(2, &STUDY.replace("--per-round 2", "--per-round 7"), &["--per-round 7", "6 devices"]);
    scene.fails(2, &STUDY.replace("--data label.jsonl ", ""), &["--data"]);
    scene.fails(2, &STUDY.replace("--eval-data label.jsonl ", ""), &["--eval-data"]);
    scene.fails(2, &STUDY.replace("--model tiny.gguf", ""), &["--model"]);
    scene.fails(5, &STUDY.replace("tiny.gguf", "nowhere.gguf"), &["nowhere.gguf"]);
    scene.write(
        "bad.jsonl",
        "{\"text\": \"a\", \"label\": \"down\"}\n{\"text\": \"b\", \"label\": \"sideways\"}\n",
    );
    scene.fails(3, &STUDY.replace("--data label.jsonl", "--data bad.jsonl"), &["bad.jsonl:2:", "sideways"]);
    // Labels mean nothing to a language model.
    let lm = STUDY.replace("label.jsonl", "lm.jsonl") + " --set task=lm";
    scene.fails(2, &format!("{lm} --skew 0.5"), &["labels"]);
}

/// Flow beside all its controls on the same devices; files of a folder are devices of their own.
#[test]
fn flow_is_compared_with_its_controls() {
    let scene = Scene::new();
    let records = |from: usize, n: usize| {
        let line = |i: usize| {
            let label = ["down", "up"][i % 2];
            format!(r#"{{"text": "side {label} of {i}", "label": "{label}"}}"#)
        };
        (from..from + n).map(line).collect::<Vec<_>>().join("\n")
    };
    std::fs::create_dir(scene.path("devices")).unwrap();
    for device in 0..6 {
        scene.write(&format!("devices/{device}.jsonl"), &records(20 * device, 8 + device));
    }
    let line = "simulate --model tiny.gguf --data devices --devices 6 --per-round 2 --rounds 2 --threads 1 --flow --seed 3 \
                --set len=64 --set batch=2 --set rank=2 --set layers=1..3 --set labels=[\"down\",\"up\"] \
                --set mode=per-epoch --set estimator=reverse --set adapter=b-only --set lr=0.01";
    let found = |line: &str| -> Vec<serde_json::Value> {
        let events = scene.done(&format!("{line} --json")).events();
        events.into_iter().filter(|e| e["event"] == "control").collect()
    };
    let all = found(&format!("{line} --controls --curve compared.html"));
    let page = String::from_utf8(scene.bytes("compared.html")).unwrap();
    assert!(page.contains("Flow beside its controls, 6 devices") && page.contains("two-global"));
    scene.fails(2, &format!("{line} --curve tiny.gguf"), &["--curve", "tiny.gguf"]);
    assert_eq!(all.len(), 15);
    for control in &all {
        let keys = [
            "control",
            "accuracy_global",
            "accuracy_personal",
            "interval",
            "devices_better",
            "devices_worse",
        ];
        has_keys(control, &keys);
        let share = |key: &str| control[key].as_f64().unwrap();
        assert!(share("oracle") >= share("accuracy_global").max(share("accuracy_local")), "{control}");
        let rows: u64 =
            control["devices"].as_array().unwrap().iter().map(|d| d["rows"].as_u64().unwrap()).sum();
        assert_eq!((rows, control["devices"][4]["seen"].as_bool()), (13, Some(false)), "{control}");
    }
    let of = |name: &str| all.iter().find(|c| c["control"] == name).unwrap();
    // A new device with nothing of its own is served as all are; what there is one kind of is not told.
    for control in &all {
        let joined = control["joined"].as_array().unwrap();
        let personal = !["fedavg", "fixed-1"].contains(&control["control"].as_str().unwrap());
        assert_eq!(joined.len(), if personal { 2 } else { 0 }, "{control}");
        if let Some(none) = joined.first() {
            has_keys(none, &["examples", "devices", "rows", "accuracy_global", "accuracy_local"]);
            assert_eq!(none["accuracy_personal"], none["accuracy_global"], "{control}");
        }
    }
    // The read-out answers with labels alone.
    assert!(of("readout")["loss_global"].as_f64().unwrap() < 1.0, "{}", of("readout"));
    for name in ["fedavg", "fixed-1"] {
        assert_eq!(of(name)["accuracy_global"], of(name)["accuracy_personal"], "{name}");
    }
    // A fleet that is trained alike is the same whatever becomes of its devices.
    assert_eq!(of("fedavg")["accuracy_global"], of("fedavg-ft")["accuracy_global"]);
    assert_eq!(of("fedavg")["loss_global"], of("fedavg-ft")["loss_global"]);
    // Nobody shares anything: the server's adapter is the untouched model.
    assert_eq!(of("fixed-0")["loss_global"], of("local")["loss_global"]);
    let shares = of("flow")["shares"].as_array().unwrap();
    assert!(shares.len() == 2 && of("fedavg")["shares"].as_array().unwrap().is_empty());
    // The same again, alone, and on two threads.
    let without_time = |control: &serde_json::Value| {
        let mut control = control.clone();
        control["seconds"] = 0.into();
        control
    };
    let again = found(&line.replace("--threads 1", "--threads 2"));
    assert_eq!(without_time(&again[0]), without_time(of("flow")));
    scene.fails(2, &format!("{line} --controls nonsense"), &["nonsense", "two-global"]);
    scene.fails(2, &line.replace("per-epoch", "per-iteration"), &["mode", "per-epoch"]);
    scene.fails(
        2,
        &line.replace("--flow", "").replace("--data devices", "--data label.jsonl --controls"),
        &["--flow"],
    );
    std::fs::create_dir(scene.path("none")).unwrap();
    scene.fails(2, &line.replace("--data devices", "--data none"), &["none", "*.jsonl"]);
    let flow =
        STUDY.replace("--json", "--set flow.gamma=0.1 --set mode=per-epoch --set estimator=reverse --json");
    scene.fails(2, &flow, &["flow", "--flow"]);
}

/// More connections than files may be open are refused before anything is begun, with the limit.
#[test]
fn connections_beyond_the_open_files_are_refused_by_their_limit() {
    let sprig = env!("CARGO_BIN_EXE_sprig");
    let line = format!("ulimit -n 300 && exec {sprig} simulate --devices 100 --connections 100 --rounds 1");
    let ran = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    let text = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{text}");
    let words = ["--connections 100", "456 open files", "may have 300", "ulimit -Hn"];
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}
