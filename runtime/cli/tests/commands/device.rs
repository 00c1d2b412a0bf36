//! `sprig device`: this machine, boards by their profiles, and what fits on them.

use crate::scene::{Scene, number};

#[test]
fn a_board_is_described_by_its_profile_with_what_fits_it() {
    let scene = Scene::new();
    let said = scene.done("device --json --board raspberry-pi-zero-2-w --model tiny.gguf").last();
    assert_eq!((said["board"]["ram_mib"].as_u64(), said["how"].as_str()), (Some(512), Some("profile")));
    let budget = number(&said, "budget");
    assert!(budget < 0.46 * number(&said, "memory") && number(&said, "memory") < 512.0 * 1048576.0);
    let rows = said["fits"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for row in rows {
        // What `sprig plan` says of the longest record that fits, and of one twice as long.
        let (len, batch) = (number(row, "len"), number(row, "batch"));
        let tangents = row["tangents"].as_u64().map(|k| format!("--tangents {k}")).unwrap_or_default();
        let plan = |len: f64| {
            format!(
                "plan --json --model tiny.gguf --estimator {} {tangents} --batch {batch} --len {len} --steps 1 \
                 --threads 4 --budget {budget}",
                row["estimator"].as_str().unwrap()
            )
        };
        let planned = scene.done(&plan(len)).last();
        assert_eq!(planned["total_bytes"], row["total_bytes"], "{row}");
        assert!(number(row, "smallest_budget_bytes") <= number(row, "total_bytes"), "{row}");
    }
    let text = scene.done("device --board raspberry-pi-zero-2-w --model tiny.gguf").out;
    for words in ["4 x cortex-a53", "slows     at 80 °C", "cgroup_enable=memory", "forward, K = 4"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_is_no_board_or_model_is_named() {
    let scene = Scene::new();
    scene.fails(2, "device --board raspberry-pi-9", &["raspberry-pi-9", "raspberry-pi-5-8gb", "generic"]);
    scene.fails(5, "device --model nowhere.gguf", &["nowhere.gguf"]);
    scene.fails(3, "device --model label.jsonl", &["label.jsonl"]);
    assert_eq!(scene.done("device --json").last()["fits"], serde_json::Value::Null);
}
