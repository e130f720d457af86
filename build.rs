//! Puts the code that runs from start to rest, and on the road of every call, side by side in the program.
//!
//! The kernel maps code in windows of 64 KiB. In the order the compiler leaves it, the 3 MiB that run touch
//! 13 MiB, all of which count as memory of a daemon that does nothing.

use std::env;
use std::path::Path;

const ORDER: &str = "link/order.ld";

fn main() -> Result<(), env::VarError> {
    println!("cargo::rerun-if-changed={ORDER}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|is| is == value);
    // Written down from a release build on this target; elsewhere the names may be others.
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ARCH", "x86_64")
    {
        let order = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(ORDER);
        println!("cargo::rustc-link-arg-bin=herma=-Wl,-T,{}", order.display());
    }
    Ok(())
}
