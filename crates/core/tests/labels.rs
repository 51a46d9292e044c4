//! Labels: equal texts have one, whoever brings them; the table is bounded; damage gives no text, and no more.

#![allow(clippy::cast_ptr_alignment)]

use procession_core::labels::{LONGEST, Labels};

fn table() -> Box<Labels> {
    let memory = Box::new(std::mem::MaybeUninit::<Labels>::zeroed());
    // SAFETY: all-zero is an empty table, by its contract.
    unsafe { Box::from_raw(Box::into_raw(memory).cast()) }
}

#[test]
fn equal_texts_have_one_label() {
    let labels = table();
    let texts = ["a", "/home/u/bank.py:12 in deposit", "eight888", "nine99999", "日本語"];
    let given: Vec<_> = texts.iter().map(|text| labels.label(text)).collect();
    for (text, &label) in texts.iter().zip(&given) {
        assert_ne!(label, 0);
        assert_eq!(labels.label(text), label);
        assert_eq!(labels.text(label).as_deref(), Some(*text));
    }
    assert_eq!((labels.label(""), labels.text(0)), (0, None));
}

#[test]
fn a_long_text_is_cut_off_between_characters() {
    let labels = table();
    let text = "x".repeat(LONGEST - 1) + "éé";
    assert_eq!(labels.text(labels.label(&text)), Some("x".repeat(LONGEST - 1)));
}

#[test]
fn a_full_table_gives_zero_and_goes_on_finding() {
    let labels = table();
    let first = labels.label("first");
    let given = (0..200_000).take_while(|number| labels.label(&format!("name number {number}")) != 0).count();
    assert!((10_000..16_384).contains(&given), "{given}");
    assert_eq!(labels.label("first"), first);
    let texts = table();
    let long = "y".repeat(LONGEST - 10);
    let given = (0..200_000).take_while(|number| texts.label(&format!("{number} {long}")) != 0).count();
    assert!((1000..1100).contains(&given), "{given}");
}

#[test]
fn threads_that_bring_the_same_texts_agree() {
    let labels = table();
    let all: Vec<Vec<u32>> = std::thread::scope(|scope| {
        let name_all = || (0..500).map(|number| labels.label(&format!("text {number}"))).collect();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(name_all)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(all.iter().all(|labels| labels == &all[0]));
    assert!(all[0].iter().enumerate().all(|(number, &label)| labels.text(label) == Some(format!("text {number}"))));
}

#[test]
fn a_damaged_table_gives_no_text_or_another_and_nothing_worse() {
    let labels = table();
    let label = labels.label("something");
    let words = std::ptr::from_ref::<Labels>(&labels).cast::<u32>().cast_mut();
    for place in [0, 16, 1000, 16_400 + 2 * (label as usize - 1), 16_401] {
        for value in [u32::MAX, 1 << 31, 0x7fff_ffff, 131_072, 131_071] {
            // SAFETY: within the table, whose words are all atomics; only this thread uses it.
            let before = unsafe { words.add(place).replace(value) };
            let _ = (labels.text(label), labels.text(u32::MAX), labels.text(131_072), labels.label("something"));
            let _ = labels.label("something else");
            // SAFETY: as above.
            unsafe { words.add(place).write(before) };
        }
    }
}
