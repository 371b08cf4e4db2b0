//! The allocator of every program here: `mimalloc`, set up so that what is freed is given back.
//!
//! A program uses it by calling [`configure`] first thing. This is the one crate that may call C.

#![expect(unsafe_code, reason = "the allocator is a library in C")]

use std::{
    alloc::{GlobalAlloc, Layout},
    ffi::c_long,
};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_option_set_default, mi_option_t, mi_realloc, mi_realloc_aligned,
    mi_zalloc, mi_zalloc_aligned,
};

#[global_allocator]
static ALLOCATOR: Mimalloc = Mimalloc;

struct Mimalloc;

/// Whether `mimalloc` aligns so many bytes well enough without being told to. Asked for an alignment, it makes many
/// sizes larger before it looks whether they need it.
fn is_natural(size: usize, alignment: usize) -> bool {
    alignment <= 16 && alignment <= size
}

// SAFETY: `mimalloc` is a complete allocator: what its functions return is theirs until it is freed, is as long as was
// asked, and null when there is none. All are aligned to 16 bytes, or to 8 when they are no longer than that, and to
// what was asked for by those that are told. Any of its functions takes back what another has returned.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, alignment) = (layout.size(), layout.align());
        // SAFETY: the alignment is a power of two.
        unsafe { if is_natural(size, alignment) { mi_malloc(size) } else { mi_malloc_aligned(size, alignment) } }.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, alignment) = (layout.size(), layout.align());
        // SAFETY: the alignment is a power of two.
        unsafe { if is_natural(size, alignment) { mi_zalloc(size) } else { mi_zalloc_aligned(size, alignment) } }.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, _: Layout) {
        // SAFETY: the caller has it from here.
        unsafe { mi_free(pointer.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (pointer, alignment) = (pointer.cast(), layout.align());
        // SAFETY: the caller has it from here; the alignment is a power of two.
        unsafe {
            if is_natural(size, alignment) {
                mi_realloc(pointer, size)
            } else {
                mi_realloc_aligned(pointer, size, alignment)
            }
        }
        .cast()
    }
}

/// `mi_option_generic_collect`: after so many allocations off the fast path a thread looks through its pages for those
/// that others have emptied. It is 10 000 otherwise.
const GENERIC_COLLECT: mi_option_t = 34;

/// `mi_option_page_reclaim_on_free`. A page that is full belongs to no thread. When something in it is freed, the
/// thread that made it takes it back, unless this is negative: then it belongs to nobody until all in it is freed, and
/// who frees the last of it gives it back. Taken back, it would stay with a thread that may never run again, such as
/// one of `sled`'s, however empty it becomes.
const PAGE_RECLAIM_ON_FREE: mi_option_t = 35;

/// Chooses how memory is given back. A variable of the environment such as `MIMALLOC_PAGE_RECLAIM_ON_FREE` has the
/// last word.
pub fn configure() {
    set_default(GENERIC_COLLECT, 1_000);
    set_default(PAGE_RECLAIM_ON_FREE, -1);
}

fn set_default(option: mi_option_t, value: c_long) {
    // SAFETY: any number is taken: one beyond the options is ignored. An option is one word, which other threads read
    // whenever they like.
    unsafe { mi_option_set_default(option, value) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn get(option: mi_option_t) -> c_long {
        // SAFETY: as in `set_default`.
        unsafe { libmimalloc_sys::mi_option_get(option) }
    }

    /// In a process of its own, because options are the process's, and because the environment is read before `main`.
    #[test]
    fn options_have_these_numbers_and_the_environment_the_last_word() {
        const NAMES: [&str; 2] = ["MIMALLOC_GENERIC_COLLECT", "MIMALLOC_PAGE_RECLAIM_ON_FREE"];
        const INNER: &str = "KCP_ALLOCATOR_TEST_EXPECTS";
        if let Ok(expected) = std::env::var(INNER) {
            configure();
            assert_eq!(format!("{:?}", [GENERIC_COLLECT, PAGE_RECLAIM_ON_FREE].map(get)), expected);
            return;
        }
        let me = std::env::current_exe().unwrap();
        for (given, expected) in [
            ([None, None], [1_000, -1]),
            ([Some("2345"), None], [2_345, -1]),
            ([None, Some("1")], [1_000, 1]),
            ([Some("7"), Some("0")], [7, 0]),
        ] {
            let mut command = Command::new(&me);
            command.args(["--exact", "tests::options_have_these_numbers_and_the_environment_the_last_word"]);
            command.env(INNER, format!("{expected:?}"));
            for (name, value) in NAMES.into_iter().zip(given) {
                command.env_remove(name);
                value.map(|value| command.env(name, value));
            }
            let output = command.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{given:?}: {text}");
        }
    }

    #[test]
    fn all_is_aligned_and_kept_when_it_moves() {
        for alignment in (0..13).map(|power| 1_usize << power) {
            for size in (1..200).chain((200..20_000).step_by(97)) {
                let layout = Layout::from_size_align(size, alignment).unwrap();
                for zeroed in [false, true] {
                    // SAFETY: the layout is not empty; what is written and read lies within it.
                    unsafe {
                        let first = if zeroed { ALLOCATOR.alloc_zeroed(layout) } else { ALLOCATOR.alloc(layout) };
                        assert!(first.addr().is_multiple_of(alignment), "{layout:?}");
                        assert!(!zeroed || (0..size).all(|at| *first.add(at) == 0), "{layout:?}");
                        first.write_bytes(7, size);
                        let moved = ALLOCATOR.realloc(first, layout, 3 * size);
                        assert!(moved.addr().is_multiple_of(alignment), "{layout:?}");
                        assert!((0..size).all(|at| *moved.add(at) == 7), "{layout:?}");
                        ALLOCATOR.dealloc(moved, Layout::from_size_align(3 * size, alignment).unwrap());
                    }
                }
            }
        }
    }
}
