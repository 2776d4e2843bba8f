//! A mean over repeats, and how sure it is.

/// The two-sided 95 % quantiles of Student's t distribution, for 1 to 30 degrees of freedom.
const T_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];
/// The same for more.
const T_95_MANY: f64 = 1.96;

/// A mean and its 95 % confidence interval, taking the repeats as independent and normally distributed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean; 0 of nothing.
    pub mean: f64,
    /// Low and high end; nothing where there were fewer than two values.
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    /// Of these values.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        if values.is_empty() {
            return Self { mean: 0.0, interval: None };
        }
        let mean = values.iter().sum::<f64>() / count;
        if values.len() < 2 {
            return Self { mean, interval: None };
        }
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / (count - 1.0) / count).sqrt();
        let t = T_95.get(values.len() - 2).copied().unwrap_or(T_95_MANY);
        Self { mean, interval: Some([mean - t * error, mean + t * error]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_students() {
        let estimate = Estimate::of(&[10.0, 12.0, 14.0]);
        let [low, high] = estimate.interval.unwrap();
        assert_eq!(estimate.mean, 12.0);
        // s = 2, s / √3 = 1.1547, t(2) = 4.303.
        assert!((high - 12.0 - 4.9687).abs() < 1e-3 && (12.0 - low - 4.9687).abs() < 1e-3);
    }

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!(Estimate::of(&[3.0]), Estimate { mean: 3.0, interval: None });
        assert_eq!(Estimate::of(&[]), Estimate { mean: 0.0, interval: None });
    }
}
