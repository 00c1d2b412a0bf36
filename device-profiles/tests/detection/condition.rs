//! Heat and speed, as boards show them.

use super::machine::Machine;
use sprig_device::{Condition, Hold};

fn zone(machine: Machine, number: u32, name: &str, millis: &str) -> Machine {
    let folder = format!("sys/class/thermal/thermal_zone{number}");
    machine
        .with(&format!("{folder}/type"), format!("{name}\n"))
        .with(&format!("{folder}/temp"), format!("{millis}\n"))
}

fn core(machine: Machine, number: u32, now: u64, most: u64) -> Machine {
    let folder = format!("sys/devices/system/cpu/cpu{number}/cpufreq");
    machine
        .with(&format!("{folder}/scaling_cur_freq"), format!("{now}\n"))
        .with(&format!("{folder}/cpuinfo_max_freq"), format!("{most}\n"))
}

fn of(machine: &Machine) -> Condition {
    Condition::of(machine.0.path())
}

#[test]
fn a_raspberry_pi_tells_its_heat_and_what_holds_it_back() {
    let pi = zone(Machine::new(), 0, "cpu-thermal", "82345");
    let pi = core(core(pi, 0, 1_500_000, 1_800_000), 1, 600_000, 1_800_000);
    // Throttled and capped now; its supply was weak earlier.
    let pi = pi.with("sys/devices/platform/soc/soc:firmware/get_throttled", "70006\n");
    let found = of(&pi);
    assert_eq!((found.celsius, found.sensors[0].name.as_str()), (Some(82.345), "cpu-thermal"));
    assert_eq!((found.clock_khz, found.clock_most_khz), (Some(600_000), Some(1_800_000)));
    assert_eq!(found.held_back, Some(vec![Hold::Capped, Hold::Throttled]));
    assert_eq!(found.was_held_back, Some(vec![Hold::UnderVoltage, Hold::Capped, Hold::Throttled]));
    // A newer kernel has the alarm of the supply beside it; both count, and each once.
    let pi = pi.with("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "1\n");
    assert_eq!(of(&pi).held_back, Some(vec![Hold::Capped, Hold::Throttled, Hold::UnderVoltage]));
    let pi = pi.with("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n");
    let pi = pi.with("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "0\n");
    assert_eq!((of(&pi).is_held_back(), of(&pi).was_held_back), (Some(false), Some(Vec::new())));
}

#[test]
fn the_hottest_sensor_counts_and_odd_ones_do_not() {
    let jetson = zone(zone(Machine::new(), 0, "cpu-thermal", "51500"), 1, "gpu-thermal", "63000");
    // A sensor that is switched off, one that is no number, one without a name; zones go by number, not by spelling.
    let jetson = zone(zone(jetson, 2, "off-thermal", "-256000"), 3, "odd-thermal", "hot");
    let jetson =
        zone(jetson, 10, "soc-thermal", "40000").with("sys/class/thermal/thermal_zone4/temp", "90000\n");
    let found = of(&jetson);
    let names: Vec<_> = found.sensors.iter().map(|sensor| sensor.name.as_str()).collect();
    assert_eq!((found.celsius, names), (Some(63.0), vec!["cpu-thermal", "gpu-thermal", "soc-thermal"]));
    assert_eq!((found.held_back, found.was_held_back), (None, None));
}

#[test]
fn a_board_knows_best_from_when_on_it_slows_down() {
    let trip = |machine: Machine, zone: u32, number: u32, kind: &str, millis: &str| {
        let path = format!("sys/class/thermal/thermal_zone{zone}/trip_point_{number}");
        machine
            .with(&format!("{path}_type"), format!("{kind}\n"))
            .with(&format!("{path}_temp"), format!("{millis}\n"))
    };
    let throttles_at = |machine: &Machine| machine.detect().board.throttles_at;
    assert_eq!(throttles_at(&Machine::new()), None);
    // A fan's trip is none, nor is the one at which the machine is switched off.
    let jetson = trip(trip(Machine::new(), 0, 0, "critical", "102500"), 0, 1, "active", "51000");
    assert_eq!(throttles_at(&jetson), None);
    let jetson = trip(trip(jetson, 0, 2, "passive", "97000"), 1, 0, "passive", "95500");
    assert_eq!(throttles_at(&jetson), Some(95));
    // One that is switched off by moving it far away, and one that is no number.
    let jetson = trip(trip(jetson, 1, 0, "passive", "-40000"), 2, 0, "passive", "soon");
    assert_eq!(throttles_at(&jetson), Some(97));
}

#[test]
fn a_kernel_that_lowers_the_clock_says_so() {
    let device = |state: &str| {
        Machine::new()
            .with("sys/class/thermal/cooling_device0/type", "pwm-fan\n")
            .with("sys/class/thermal/cooling_device0/cur_state", "4\n")
            .with("sys/class/thermal/cooling_device1/type", "cpufreq-cpu0\n")
            .with("sys/class/thermal/cooling_device1/cur_state", state)
    };
    assert_eq!(of(&device("0\n")).held_back, Some(Vec::new()), "a fan that turns holds nothing back");
    assert_eq!(of(&device("3\n")).held_back, Some(vec![Hold::Cooled]));
    assert_eq!(serde_json::to_value(of(&device("3\n"))).unwrap()["held_back"][0], "clock lowered to cool");
}

#[test]
fn a_machine_that_tells_nothing_is_not_said_to_be_well() {
    assert_eq!(of(&Machine::new()), Condition::default());
    assert_eq!(of(&Machine::new()).is_held_back(), None);
}
