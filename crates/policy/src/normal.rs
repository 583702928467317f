//! The standard normal distribution function and its inverse.

/// The probability of a value below `x`, to an absolute error below 1e-15.
///
/// By the series of G. Marsaglia, *Evaluating the normal distribution*, 2004.
pub(crate) fn cdf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    // Beyond, the rest is below 1e-16.
    if x.abs() > 8.3 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let square = x * x;
    let (mut sum, mut term, mut odd) = (x, x, 1.0);
    loop {
        odd += 2.0;
        term *= square / odd;
        let next = sum + term;
        if next.to_bits() == sum.to_bits() {
            break;
        }
        sum = next;
    }
    let density = (-0.5 * square).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (0.5 + sum * density).clamp(0.0, 1.0)
}

/// The value below which a variate lies with probability `p`, to a relative error of about 1e-15;
/// minus infinity at 0 and infinity at 1. By M. Wichura's algorithm AS 241 (PPND16), 1988.
#[must_use]
#[expect(clippy::excessive_precision, reason = "the constants as published")]
pub fn quantile(p: f64) -> f64 {
    const A: [f64; 8] = [
        3.387_132_872_796_366_608_0,
        1.331_416_678_917_843_774_5e2,
        1.971_590_950_306_551_442_7e3,
        1.373_169_376_550_946_112_5e4,
        4.592_195_393_154_987_145_7e4,
        6.726_577_092_700_870_085_3e4,
        3.343_057_558_358_812_810_5e4,
        2.509_080_928_730_122_672_7e3,
    ];
    const B: [f64; 8] = [
        1.0,
        4.231_333_070_160_091_125_2e1,
        6.871_870_074_920_579_083_0e2,
        5.394_196_021_424_751_107_7e3,
        2.121_379_430_158_659_586_7e4,
        3.930_789_580_009_271_061_0e4,
        2.872_908_573_572_194_267_4e4,
        5.226_495_278_852_854_561_0e3,
    ];
    const C: [f64; 8] = [
        1.423_437_110_749_683_577_34,
        4.630_337_846_156_545_295_90,
        5.769_497_221_460_691_405_50,
        3.647_848_324_763_204_605_04,
        1.270_458_252_452_368_382_58,
        2.417_807_251_774_506_117_70e-1,
        2.272_384_498_926_918_458_33e-2,
        7.745_450_142_783_414_076_40e-4,
    ];
    const D: [f64; 8] = [
        1.0,
        2.053_191_626_637_758_821_87,
        1.676_384_830_183_803_849_40,
        6.897_673_349_851_000_045_50e-1,
        1.481_039_764_274_800_745_90e-1,
        1.519_866_656_361_645_719_66e-2,
        5.475_938_084_995_344_946_00e-4,
        1.050_750_071_644_416_843_24e-9,
    ];
    const E: [f64; 8] = [
        6.657_904_643_501_103_777_20,
        5.463_784_911_164_114_369_90,
        1.784_826_539_917_291_335_80,
        2.965_605_718_285_048_912_30e-1,
        2.653_218_952_657_612_309_30e-2,
        1.242_660_947_388_078_438_60e-3,
        2.711_555_568_743_487_578_15e-5,
        2.010_334_399_292_288_132_65e-7,
    ];
    const F: [f64; 8] = [
        1.0,
        5.998_322_065_558_879_376_90e-1,
        1.369_298_809_227_358_053_10e-1,
        1.487_536_129_085_061_485_25e-2,
        7.868_691_311_456_132_591_00e-4,
        1.846_318_317_510_054_681_80e-5,
        1.421_511_758_316_445_888_70e-7,
        2.044_263_103_389_939_785_64e-15,
    ];
    let ratio = |upper: &[f64; 8], lower: &[f64; 8], at: f64| {
        let value = |coefficients: &[f64; 8]| {
            let terms = coefficients.iter().rev();
            terms.fold(0.0, |sum, coefficient| sum * at + coefficient)
        };
        value(upper) / value(lower)
    };
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let centred = p - 0.5;
    if centred.abs() <= 0.425 {
        return centred * ratio(&A, &B, 0.180_625 - centred * centred);
    }
    let root = (-p.min(1.0 - p).ln()).sqrt();
    let magnitude = if root <= 5.0 {
        ratio(&C, &D, root - 1.6)
    } else {
        ratio(&E, &F, root - 5.0)
    };
    magnitude.copysign(centred)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_function_has_its_published_values() {
        // M. Abramowitz and I. Stegun, table 26.1, and SciPy 1.17.
        let known = [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_542_9),
            (1.96, 0.975_002_104_851_779_6),
            (-3.0, 1.349_898_031_630_094_5e-3),
            (-6.0, 9.865_876_450_377e-10),
        ];
        for (x, expected) in known {
            assert!((cdf(x) - expected).abs() < 1e-15, "{x}: {}", cdf(x));
        }
        assert_eq!((cdf(40.0), cdf(f64::NEG_INFINITY)), (1.0, 0.0));
    }

    #[test]
    fn the_quantile_undoes_the_distribution_function() {
        assert!((quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-14);
        assert!((quantile(1e-10) - -6.361_340_902_404_056).abs() < 1e-12);
        for step in 1..200_u32 {
            let p = f64::from(step) / 200.0;
            assert!((cdf(quantile(p)) - p).abs() < 1e-15, "{p}");
        }
        assert_eq!(
            (quantile(0.0), quantile(1.0)),
            (f64::NEG_INFINITY, f64::INFINITY)
        );
    }
}
