//! Training inside a memory control group whose limit is the budget, with no swap: what the kernel would kill on a board.

use crate::budget::{Ground, Outcome, seed};
use crate::cases::Draw;
use sprig_testkit::group::Group;
use std::fs;
use std::process::Command;

#[test]
fn real_model_runs_end_well_in_a_group_that_holds_no_more_than_the_budget() {
    if let Err(why) = Group::new("probe", 1 << 30) {
        println!("SKIPPED: no memory control group can be made here: {why}");
        return;
    }
    let mut ground = Ground::new();
    // A copy of the model whose pages nobody has read yet: they are charged to the group, as on a board.
    let model = ground.scene.path("model.gguf");
    fs::copy(&ground.model, &model).unwrap();
    fs::File::open(&model).unwrap().sync_all().unwrap();
    ground.model = model;
    let mut cases = Ground::cases(26, seed() + 100);
    cases.retain(|case| !matches!(case.budget, Draw::Below(_)) && !case.resumed);
    cases.truncate(20);
    let mut trained = 0;
    for (n, case) in cases.iter().enumerate() {
        let line = ground.line(case, n);
        // In a group, which counts more than the process, the plan holds more.
        let roomy = Group::new(&format!("{n}-roomy"), 8 << 30).unwrap();
        let (smallest, budget) = ground.budget(case, &line, Some(&roomy.members())).unwrap();
        drop(roomy);
        let line = format!("{line} --budget {budget}");
        let mut forget = Command::new("dd");
        forget.arg(format!("if={}", ground.model.display())).args(["iflag=nocache", "count=0"]);
        assert!(forget.output().unwrap().status.success());
        let group = Group::new(&n.to_string(), budget).unwrap();
        let ended = ground.run(&line, Some(&group.members()));
        let (charged, killed) = group.usage();
        assert!(killed == 0, "killed at {budget} bytes: sprig {line}\n{}", ended.err);
        match ground.judge(&line, ended, budget, smallest) {
            Ok(Outcome::Trained { peak, .. }) => {
                trained += 1;
                let full = group.times_full();
                println!(
                    "budget {budget}, peak {peak}, charged at most {charged}, at the limit {full} times"
                );
            }
            Ok(Outcome::Refused) => {}
            Err(problem) => panic!("{problem}"),
        }
    }
    println!("{trained} of {} cases trained", cases.len());
    assert!(trained >= 10);
}
