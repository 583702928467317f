//! The comparison of rows with centres for processors with AVX2 and fused multiply-add. It is written out in
//! vectors: left to the compiler, the sums of a panel end up one by one in memory.

use std::arch::x86_64::{
    __m256, __m256i, _CMP_LT_OQ, _mm256_blendv_ps, _mm256_broadcast_ss, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_storeu_ps,
    _mm256_storeu_si256,
};

use super::{Best, Centres, GROUP, LANES, Labelling};

/// Labels the rows of a chunk.
#[target_feature(enable = "avx2,fma")]
pub(super) fn label(work: Labelling<'_>) {
    work.label(|panel, centres| compare(panel, centres));
}

/// The two least brackets of half a panel's rows.
#[derive(Clone, Copy)]
struct Least {
    first: __m256,
    second: __m256,
    label: __m256i,
}

#[target_feature(enable = "avx2,fma")]
fn compare(panel: &[[f32; LANES]], centres: &Centres) -> Best {
    let far = _mm256_set1_ps(f32::INFINITY);
    let mut least = [Least {
        first: far,
        second: far,
        label: _mm256_setzero_si256(),
    }; 2];
    let mut label = 0;
    let groups = centres.groups.chunks_exact(panel.len());
    for (group, halves) in groups.zip(&centres.halves) {
        let mut sums = [[far; 2]; GROUP];
        for (sum, half) in sums.iter_mut().zip(halves) {
            *sum = [_mm256_broadcast_ss(half); 2];
        }
        for (values, points) in panel.iter().zip(group) {
            let values = load(values);
            for place in 0..GROUP {
                let point = _mm256_broadcast_ss(&points[place]);
                sums[place][0] = _mm256_fmadd_ps(values[0], point, sums[place][0]);
                sums[place][1] = _mm256_fmadd_ps(values[1], point, sums[place][1]);
            }
        }
        for sums in sums {
            for half in 0..2 {
                least[half] = nearer(least[half], sums[half], label);
            }
            label += 1;
        }
    }
    store(least)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn nearer(least: Least, sum: __m256, label: i32) -> Least {
    let is_less = _mm256_cmp_ps::<_CMP_LT_OQ>(sum, least.first);
    let old = _mm256_castsi256_ps(least.label);
    let new = _mm256_castsi256_ps(_mm256_set1_epi32(label));
    Least {
        first: _mm256_min_ps(sum, least.first),
        second: _mm256_min_ps(_mm256_max_ps(sum, least.first), least.second),
        label: _mm256_castps_si256(_mm256_blendv_ps(old, new, is_less)),
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(values: &[f32; LANES]) -> [__m256; 2] {
    let (low, high) = values.split_at(LANES / 2);
    #[expect(unsafe_code, reason = "each half has the eight numbers that are read")]
    unsafe {
        [
            _mm256_loadu_ps(low.as_ptr()),
            _mm256_loadu_ps(high.as_ptr()),
        ]
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(least: [Least; 2]) -> Best {
    let mut best = Best {
        first: [0.0; LANES],
        second: [0.0; LANES],
        label: [0; LANES],
    };
    let halves = best.first.chunks_exact_mut(LANES / 2);
    let halves = halves.zip(best.second.chunks_exact_mut(LANES / 2));
    let halves = halves.zip(best.label.chunks_exact_mut(LANES / 2));
    for (((first, second), label), least) in halves.zip(least) {
        #[expect(
            unsafe_code,
            reason = "each half has place for the eight numbers that are written"
        )]
        unsafe {
            _mm256_storeu_ps(first.as_mut_ptr(), least.first);
            _mm256_storeu_ps(second.as_mut_ptr(), least.second);
            _mm256_storeu_si256(label.as_mut_ptr().cast(), least.label);
        }
    }
    best
}
