//! Source lines and their addresses.

use std::path::PathBuf;

use gimli::{ColumnType, LineProgramHeader, LineRow};

use super::{bad, units_of, DebugInfo, Dwarf, Slice, Unit};
use crate::Result;

/// A place in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePlace {
    /// File with its directory.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: u32,
    /// Column, counted from 1; 0 if it is not known.
    pub column: u32,
}

/// An address at which the code of a line begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineAddress {
    /// Address in the file's address space.
    pub address: u64,
    /// The place it belongs to.
    pub place: SourcePlace,
}

type Header<'s> = LineProgramHeader<Slice<'s>>;

/// The path of a file of a line table, absolute where the table allows.
fn file_path<'s>(dwarf: &Dwarf<'s>, unit: &Unit<'s>, header: &Header<'s>, index: u64) -> Option<PathBuf> {
    let text =
        |value| Some(String::from_utf8_lossy(dwarf.attr_string(unit, value).ok()?.slice()).into_owned());
    let file = header.file(index)?;
    let mut path = unit.comp_dir.map(|dir| PathBuf::from(String::from_utf8_lossy(dir.slice()).into_owned()));
    let mut path = path.take().unwrap_or_default();
    if let Some(dir) = file.directory(header).and_then(text) {
        path.push(dir);
    }
    path.push(text(file.path_name())?);
    Some(path)
}

fn column(row: &LineRow) -> u32 {
    match row.column() {
        ColumnType::LeftEdge => 0,
        ColumnType::Column(column) => u32::try_from(column.get()).unwrap_or(u32::MAX),
    }
}

fn line(row: &LineRow) -> u32 {
    row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(u32::MAX))
}

impl DebugInfo<'_> {
    /// The addresses where the code of a source line begins: one per copy of the code, by address.
    ///
    /// `file` is matched by whole components from the end: `list.c` and `lib/list.c` both find
    /// `/usr/src/lib/list.c`. With a column, only code of that column counts. A line without code has none.
    pub fn addresses_of_line(
        &self,
        file: &str,
        wanted: u32,
        wanted_column: Option<u32>,
    ) -> Result<Vec<LineAddress>> {
        let dwarf = self.dwarf();
        let mut found = Vec::new();
        let mut headers = dwarf.units();
        while let Some(header) = headers.next().map_err(bad)? {
            let unit = dwarf.unit(header).map_err(bad)?;
            let Some(program) = unit.line_program.clone() else { continue };
            let paths = matching_files(&dwarf, &unit, program.header(), file);
            if paths.is_empty() {
                continue;
            }
            let mut rows = program.rows();
            // Rows that only move within the line are no new beginning of it.
            let mut inside = false;
            while let Some((_, row)) = rows.next_row().map_err(bad)? {
                let path = paths.iter().find(|(index, _)| *index == row.file_index());
                let column = column(row);
                let fits = !row.end_sequence()
                    && line(row) == wanted
                    && wanted_column.is_none_or(|wanted| wanted == column);
                match path {
                    Some((_, path)) if fits => {
                        if !inside && row.is_stmt() && row.address() != 0 {
                            let place = SourcePlace { file: path.clone(), line: wanted, column };
                            found.push(LineAddress { address: row.address(), place });
                            inside = true;
                        }
                    }
                    _ => inside = false,
                }
            }
        }
        found.sort_by_key(|f| f.address);
        found.dedup_by_key(|f| f.address);
        Ok(found)
    }

    /// The source place of an address.
    pub fn line_at(&self, address: u64) -> Result<Option<SourcePlace>> {
        let dwarf = self.dwarf();
        for header in units_of(&dwarf, address)? {
            let unit = dwarf.unit(header).map_err(bad)?;
            let Some(program) = unit.line_program.clone() else { continue };
            let mut rows = program.rows();
            // (address, file, line, column) of the row before, if it belongs to the same sequence.
            let mut before: Option<(u64, u64, u32, u32)> = None;
            while let Some((header, row)) = rows.next_row().map_err(bad)? {
                if let Some((start, file, line, column)) = before {
                    if start <= address && address < row.address() && start != 0 {
                        let file = file_path(&dwarf, &unit, header, file).unwrap_or_default();
                        return Ok(Some(SourcePlace { file, line, column }));
                    }
                }
                let here = (row.address(), row.file_index(), line(row), column(row));
                before = (!row.end_sequence()).then_some(here);
            }
        }
        Ok(None)
    }
}

/// Files of a line table whose path ends in `wanted`: (index, path).
fn matching_files<'s>(
    dwarf: &Dwarf<'s>,
    unit: &Unit<'s>,
    header: &Header<'s>,
    wanted: &str,
) -> Vec<(u64, PathBuf)> {
    let base = wanted.rsplit('/').next().unwrap_or(wanted).as_bytes();
    // Version 5 counts files from 0, older ones from 1; asking for one index too many does no harm.
    let indices = 0..=header.file_names().len() as u64;
    let named = indices.filter(|&index| {
        let name = header.file(index).and_then(|file| dwarf.attr_string(unit, file.path_name()).ok());
        name.is_some_and(|name| name.slice().ends_with(base))
    });
    let paths = named.filter_map(|index| Some((index, file_path(dwarf, unit, header, index)?)));
    paths.filter(|(_, path)| path.ends_with(wanted)).collect()
}
