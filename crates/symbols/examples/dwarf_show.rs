//! Shows what the debug information of a file says of a function or a source line:
//! `dwarf_show FILE FUNCTION` or `dwarf_show FILE SOURCE:LINE`.
#![allow(clippy::print_stdout, reason = "this is a program that prints what it found")]

use std::time::Instant;

use fathom_symbols::dwarf::{debug_file_candidates, function_args, DebugInfo};
use fathom_symbols::elf::Elf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(file), Some(what)) = (words.next(), words.next()) else {
        return Err("usage: dwarf_show FILE FUNCTION | FILE SOURCE:LINE".into());
    };
    let bytes = std::fs::read(&file)?;
    let program = Elf::parse(&bytes)?;
    let debug_bytes =
        debug_file_candidates(&program, file.as_ref()).iter().find_map(|p| std::fs::read(p).ok());
    let debug = debug_bytes.as_deref().map(Elf::parse).transpose()?;
    let start = Instant::now();
    if let Some((source, line)) = what.rsplit_once(':') {
        let info = DebugInfo::open(debug.as_ref().unwrap_or(&program))?.ok_or("no debug information")?;
        for found in info.addresses_of_line(source, line.parse()?, None)? {
            println!("{:#x} {} {}", found.address, found.place.file.display(), found.place.column);
        }
    } else {
        let function = function_args(&program, debug.as_ref(), &what)?.ok_or("no such function")?;
        let btf = &function.types;
        for arg in &function.args {
            println!("{}: {:?}", btf.declare(arg.ty, &arg.name)?, arg.place);
        }
        println!("{} {} at {:#x}", btf.type_name(function.ret)?, function.name, function.address);
        println!("{} types, {} bytes", btf.type_count(), btf.bytes().len());
    }
    println!("{:?}", start.elapsed());
    Ok(())
}
