//! Beats and holds in bins of equal width, as `gilscope/watch/bins.py` makes them for a whole watch.

use crate::gil::ThreadIds;
use crate::watch::gil_usage::Hold;
use crate::watch::ring::Span;

/// The positions of the bins.
#[derive(Clone, Copy)]
pub struct Grid {
    begin_ns: u64,
    pub width_ns: u64,
    count: usize,
}

impl Grid {
    /// At most `max_bins` bins of at least `least_ns`, and at least one.
    pub fn new(begin_ns: u64, end_ns: u64, max_bins: u64, least_ns: u64) -> Self {
        let span_ns = (end_ns - begin_ns).max(least_ns);
        let count = (span_ns / least_ns).clamp(1, max_bins.max(1));
        Self {
            begin_ns,
            width_ns: span_ns.div_ceil(count),
            count: usize::try_from(count).unwrap_or(1),
        }
    }

    fn at(self, moment_ns: u64) -> usize {
        let bin = moment_ns.saturating_sub(self.begin_ns) / self.width_ns;
        usize::try_from(bin).map_or(self.count - 1, |bin| bin.min(self.count - 1))
    }

    fn start_ns(self, bin: usize) -> u64 {
        self.begin_ns + bin as u64 * self.width_ns
    }
}

/// The longest lag in each bin. A late beat counts in all bins from when it was due, as late as it was by then.
pub fn worst(beats: impl Iterator<Item = Span>, grid: Grid) -> Vec<Option<u64>> {
    let mut worst = vec![None; grid.count];
    for beat in beats {
        let last = grid.at(beat.to_ns);
        worst[last] = worst[last].max(Some(beat.length_ns()));
        let first = grid.at(beat.from_ns);
        for (bin, worst) in worst.iter_mut().enumerate().take(last).skip(first) {
            let so_far_ns = grid.start_ns(bin + 1).saturating_sub(beat.from_ns);
            *worst = (*worst).max(Some(so_far_ns));
        }
    }
    worst
}

/// How long each of the threads in `apart` held the GIL in each bin, and all others together, without ids. Only those that held it.
pub fn held(
    holds: impl Iterator<Item = Hold>,
    apart: &[ThreadIds],
    grid: Grid,
) -> Vec<(ThreadIds, Vec<u64>)> {
    let mut tracks = vec![vec![0; grid.count]; apart.len() + 1];
    for hold in holds {
        let known = apart.iter().position(|&by| by == hold.by);
        let track = &mut tracks[known.unwrap_or(apart.len())];
        for (bin, part_ns) in track
            .iter_mut()
            .enumerate()
            .take(grid.at(hold.to_ns) + 1)
            .skip(grid.at(hold.from_ns))
        {
            let to_ns = hold.to_ns.min(grid.start_ns(bin + 1));
            *part_ns += to_ns.saturating_sub(hold.from_ns.max(grid.start_ns(bin)));
        }
    }
    let threads = apart.iter().copied().chain([ThreadIds::default()]);
    let tracks = threads.zip(tracks);
    tracks
        .filter(|(_, bins)| bins.iter().any(|&part| part > 0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Grid, held, worst};
    use crate::gil::ThreadIds;
    use crate::watch::ring::Span;

    fn span(thread: u64, from_ns: u64, to_ns: u64) -> Span {
        let by = ThreadIds {
            ident: thread,
            native: thread,
        };
        Span { by, from_ns, to_ns }
    }

    #[test]
    fn the_lag_of_a_late_loop_grows_until_its_beat_comes() {
        let grid = Grid::new(1000, 1200, 500, 20);
        let beats = [
            span(0, 1009, 1010),
            span(0, 1030, 1100),
            span(0, 1188, 1190),
        ];
        let seen = worst(beats.into_iter(), grid);
        let expected = [1, 10, 30, 50, 70, 70, 0, 0, 0, 2].map(|lag| (lag > 0).then_some(lag));
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_hold_is_divided_among_its_bins_and_the_others_share_a_track() {
        let grid = Grid::new(0, 100, 5, 1);
        let holds = [span(1, 10, 50), span(2, 50, 60), span(3, 60, 61)];
        let apart = [1, 2].map(|id| ThreadIds {
            ident: id,
            native: id,
        });
        let tracks = held(holds.into_iter(), &apart, grid);
        let bins: Vec<_> = tracks
            .iter()
            .map(|(by, bins)| (by.native, bins.clone()))
            .collect();
        assert_eq!(
            bins,
            [
                (1, vec![10, 20, 10, 0, 0]),
                (2, vec![0, 0, 10, 0, 0]),
                (0, vec![0, 0, 0, 1, 0])
            ]
        );
    }

    #[test]
    fn a_grid_has_at_least_one_bin_and_reaches_to_the_end() {
        for (begin, end) in [(5, 5), (0, 1), (0, 19), (0, 600_000_000_007)] {
            let grid = Grid::new(begin, end, 500, 20);
            assert!(grid.count >= 1 && grid.count <= 500);
            assert!(grid.start_ns(grid.count) >= end);
        }
    }
}
