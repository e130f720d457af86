#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| herma_fuzz::url(data));
