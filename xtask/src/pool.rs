//! Work over several threads, with results in the order of the work.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Does `work` for every item on up to `jobs` threads and hands each result to `done`, in the
/// order of `items`, as soon as it and all before it are there. `tick` is called for each result
/// when it comes, in any order.
pub(crate) fn run<'a, T: Sync, R: Send>(
    jobs: NonZeroUsize,
    items: &'a [T],
    work: impl Fn(&'a T) -> R + Sync,
    mut tick: impl FnMut(),
    mut done: impl FnMut(&R),
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.get().min(items.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((n, item)) = {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    items.get(n).map(|item| (n, item))
                } {
                    // The receiver lives until the scope ends.
                    let _ = sender.send((n, work(item)));
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut results = Vec::with_capacity(items.len());
        for (n, result) in receiver {
            tick();
            early.insert(n, result);
            while let Some(result) = early.remove(&results.len()) {
                done(&result);
                results.push(result);
            }
        }
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_once_each_in_the_order_of_the_work() {
        let items: Vec<u32> = (0..500).collect();
        let (mut ticks, mut seen) = (0, Vec::new());
        let results = run(
            NonZeroUsize::new(4).unwrap(),
            &items,
            |&n| n * 2,
            || ticks += 1,
            |&r| seen.push(r),
        );
        assert_eq!(ticks, 500);
        assert_eq!(results, items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(seen, results);
    }
}
