//! Work over several threads.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// At most so many threads at a time: past that, they wait for the file system.
const MOST: usize = 8;

/// Calls for every item, over as many threads as make sense; the results are in the items' order.
pub(super) fn in_parallel<T, I, R>(items: I, work: impl Fn(T) -> R + Sync) -> Vec<R>
where
    I: IntoIterator<Item = T, IntoIter: ExactSizeIterator + Send>,
    R: Send,
{
    in_parallel_with(items, || (), |(), item| work(item))
}

/// As [`in_parallel`], with something that each thread has of its own.
pub(super) fn in_parallel_with<T, I, S, R>(
    items: I,
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) -> R + Sync,
) -> Vec<R>
where
    I: IntoIterator<Item = T, IntoIter: ExactSizeIterator + Send>,
    R: Send,
{
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    over_threads(cores, items, begin, work)
}

/// As [`in_parallel`], for work that mostly waits for the disk: a journal commits what several threads wait
/// for in one go, however few the processors are.
pub fn waiting_in_parallel<T, I, R>(items: I, work: impl Fn(T) -> R + Sync) -> Vec<R>
where
    I: IntoIterator<Item = T, IntoIter: ExactSizeIterator + Send>,
    R: Send,
{
    over_threads(MOST, items, || (), |(), item| work(item))
}

fn over_threads<T, I, S, R>(
    most: usize,
    items: I,
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) -> R + Sync,
) -> Vec<R>
where
    I: IntoIterator<Item = T, IntoIter: ExactSizeIterator + Send>,
    R: Send,
{
    let items = items.into_iter();
    let count = most.min(MOST).min(items.len());
    let queue = Mutex::new(items.enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take = || {
        let (mut own, mut done) = (begin(), Vec::new());
        while let Some((at, item)) = next() {
            done.push((at, work(&mut own, item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let others: Vec<_> = (1..count).map(|_| scope.spawn(take)).collect();
        let mine = take();
        let others =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        std::iter::once(mine).chain(others).flatten().collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
