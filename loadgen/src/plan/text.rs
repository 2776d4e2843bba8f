//! A plan for a person.

use std::fmt::Write as _;

use super::Plan;

/// The plan as text.
pub(super) fn render(plan: &Plan) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {} UEs, {} of them brought up in {:.1} s; steps {:.1} s\n",
        plan.profile, plan.ues, plan.brought_up, plan.bring_up_s, plan.steps_s
    );
    let _ = writeln!(
        text,
        "{:<10} {:<24} {:>12} {:>12} {:>12} {:>12}",
        "phase", "procedure", "starts/s", "starts", "measured", "in flight"
    );
    for offer in &plan.offers {
        let _ = writeln!(
            text,
            "{:<10} {:<24} {:>12.1} {:>12.0} {:>12.0} {:>12.1}",
            offer.phase,
            offer.procedure,
            offer.rate_per_s,
            offer.starts,
            offer.measured,
            offer.in_flight
        );
    }
    let _ = writeln!(
        text,
        "\nin flight: starts a second times the delay limit, or {} ms where there is none (--procedure-ms)\n",
        plan.assumptions.procedure_s * 1e3
    );
    costs(&mut text, plan);
    let _ = writeln!(
        text,
        "memory     engine about {}, generator about {}, free {}",
        bytes(plan.engine_bytes),
        bytes(plan.generator_bytes),
        bytes(plan.assumptions.memory_bytes)
    );
    let (needed, there) = plan.addresses;
    let _ = writeln!(
        text,
        "addresses  {needed} of UEs, of {there}; 2 UDP ports, the same at each; {} security associations",
        plan.associations
    );
    if plan.sessions > 0.0 {
        let _ = writeln!(text, "sessions   {:.0} at one time, at most", plan.sessions);
    }
    if let Some(attempts) = &plan.attempts {
        let _ = writeln!(
            text,
            "attempts   at most {}% with {}% confidence: {} with none handled inadequately, {} with half of that; the first step takes {:.1} s",
            attempts.share_max * 100.0,
            attempts.confidence * 100.0,
            attempts.least,
            attempts.at_half,
            attempts.first_step_s
        );
    }
    for remark in &plan.remarks {
        let _ = writeln!(text, "remark     {remark}");
    }
    text.push('\n');
    if plan.misfits.is_empty() {
        text.push_str("everything fits\n");
    }
    for misfit in &plan.misfits {
        let _ = writeln!(text, "will not fit: {misfit}");
    }
    text
}

fn costs(text: &mut String, plan: &Plan) {
    if plan.costs.is_empty() {
        text.push_str("messages   not known: UEs that share an address are for any server\n");
        return;
    }
    let _ = writeln!(
        text,
        "{:<24} {:>9} {:>10} {:>9} {:>10}",
        "each", "Gm", "Gm bytes", "Mw", "Mw bytes"
    );
    for (name, cost) in &plan.costs {
        let _ = writeln!(
            text,
            "{name:<24} {:>9.1} {:>10.0} {:>9.1} {:>10.0}",
            cost.gm_messages, cost.gm_bytes, cost.mw_messages, cost.mw_bytes
        );
    }
    let _ = writeln!(
        text,
        "\n{:<10} {:>12} {:>12} {:>12} {:>14} {:>12} {:>14}",
        "phase", "starts/s", "in flight", "Gm msg/s", "Gm Mbit/s", "Mw msg/s", "Mw Mbit/s"
    );
    for phase in &plan.phases {
        let _ = writeln!(
            text,
            "{:<10} {:>12.1} {:>12.1} {:>12.0} {:>14.2} {:>12.0} {:>14.2}",
            phase.phase,
            phase.rate_per_s,
            phase.in_flight,
            phase.per_s.gm_messages,
            phase.gm_bits_per_s / 1e6,
            phase.per_s.mw_messages,
            phase.mw_bits_per_s / 1e6
        );
    }
    text.push('\n');
}

/// Bytes in the unit that suits them.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
