mod sample;

use sample::Sample;

use super::render;

#[test]
fn scratch_dump() {
    let Ok(dir) = std::env::var("PAGES") else { return };
    for (name, frame, page) in Sample(|text: &str| text.to_owned()).pages() {
        std::fs::write(format!("{dir}/{name}.html"), render(&frame, &page).replace("/assets/", "assets/"))
            .unwrap();
    }
}
