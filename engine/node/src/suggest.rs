//! What somebody may have meant who has mistyped a name.

/// As different as this a name may be from what was typed, for each four characters of it.
const DIFFERENT_MAX: usize = 1;

/// What is longer is no name.
const TYPED_BYTES_MAX: usize = 64;

/// The name that is nearest to what was typed, if one is near.
#[must_use]
pub fn nearest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    if typed.len() > TYPED_BYTES_MAX {
        return None;
    }
    let typed = typed.to_lowercase();
    let distances = names.iter().map(|name| (distance(&typed, &name.to_lowercase()), *name));
    let (least, name) = distances.min_by_key(|(distance, _)| *distance)?;
    let most = DIFFERENT_MAX * typed.chars().count().max(name.chars().count()).div_ceil(4);
    let begins = typed.len() >= 3 && names.iter().filter(|it| it.starts_with(&typed)).count() == 1;
    match begins {
        true => names.iter().find(|it| it.starts_with(&typed)).copied(),
        false => (least <= most).then_some(name),
    }
}

/// ` (did you mean NAME?)` where a name is near to what was typed, else nothing.
#[must_use]
pub fn did_you_mean(typed: &str, names: &[&str]) -> String {
    nearest(typed, names).map_or(String::new(), |name| format!(" (did you mean {name}?)"))
}

/// serde's words for a key or a value that is none, with what may have been meant behind it. Other words stay what they are.
#[must_use]
pub fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let is_unknown = message.contains("unknown field `") || message.contains("unknown variant `");
    let Some(typed) = quoted.next().filter(|_| is_unknown) else { return message.to_owned() };
    let names: Vec<&str> = quoted.collect();
    let unknown = format!("`{typed}`");
    message.replacen(&unknown, &format!("{unknown}{}", did_you_mean(typed, &names)), 1)
}

/// How many characters have to be put in, taken out, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let mut least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        least = least.min(rows[i - 2][j - 2] + 1);
                    }
                    least
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_none() {
        let names = ["quickstart", "busy-hour", "steps", "call_setup"];
        for (typed, meant) in [
            ("quikstart", "quickstart"),
            ("Quickstart", "quickstart"),
            ("quick", "quickstart"),
            ("busy_hour", "busy-hour"),
            ("setps", "steps"),
            ("callsetup", "call_setup"),
        ] {
            assert_eq!(nearest(typed, &names), Some(meant), "{typed}");
        }
        for typed in ["", "zzzz", "my-profile.toml", "st"] {
            assert_eq!(nearest(typed, &names), None, "{typed}");
        }
        assert_eq!(did_you_mean("step", &names), " (did you mean steps?)");
        assert_eq!(did_you_mean("nothing", &names), "");
        assert_eq!(nearest(&"quickstart".repeat(100), &names), None);
    }

    #[test]
    fn what_serde_says_of_an_unknown_key_has_what_was_meant() {
        assert_eq!(
            with_suggestion("unknown field `shard`, expected one of `shards`, `cores`"),
            "unknown field `shard` (did you mean shards?), expected one of `shards`, `cores`"
        );
        for other in ["unknown field `x`, there are no fields", "missing field `shards`", "`a` `b"]
        {
            assert_eq!(with_suggestion(other), other);
        }
    }
}
