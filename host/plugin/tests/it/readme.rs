//! The tests that `README.md` names are there.

use std::path::Path;

#[test]
fn every_case_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rows = include_str!("README.md")
        .lines()
        .filter(|line| line.starts_with("| W") || line.starts_with("| T"));
    let mut num_rows = 0;
    for row in rows {
        num_rows += 1;
        let mut num_tests = 0;
        for name in row.split('`').filter(|quoted| quoted.contains("::")) {
            let (place, test) = name.split_once("::").unwrap();
            let file = match place.ends_with(".rs") {
                true => root.join(place),
                false => root.join(format!("host/plugin/tests/it/{place}.rs")),
            };
            let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(text.contains(&format!("fn {test}()")), "{name} is gone");
            num_tests += 1;
        }
        // T38, T43 and T44 refer to cases above.
        assert!(num_tests > 0 || row.contains("| W"), "{row}");
    }
    assert_eq!(num_rows, 31);
}
