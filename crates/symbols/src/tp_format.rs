//! The `format` files of tracefs: which fields an event's record has, and where.

use crate::{Error, Result};

/// Where the data of a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldPlace {
    /// In the record, at the field's offset.
    Inline,
    /// The field is a word: low half the data's offset from the start of the record, high half its length.
    DataLoc,
    /// As [`FieldPlace::DataLoc`], but the offset counts from the end of the word.
    RelLoc,
}

/// One field of an event record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// C type of the field, or of one element if it is an array: `unsigned long`, `struct rq *`.
    pub ty: String,
    /// Number of elements of an inline array; 0 if the file does not say it in digits.
    pub array_len: Option<u32>,
    /// Offset from the start of the record in bytes.
    pub offset: u32,
    /// Bytes in the record.
    pub size: u32,
    /// Signed, as the kernel says it.
    pub is_signed: bool,
    /// One of the `common_` fields that all events share.
    pub is_common: bool,
    /// Where the data is.
    pub place: FieldPlace,
}

impl Field {
    /// The field as a C declaration, as listings show it.
    pub fn declaration(&self) -> String {
        let gap = if self.ty.ends_with('*') { "" } else { " " };
        let prefix = match self.place {
            FieldPlace::Inline => "",
            FieldPlace::DataLoc => return format!("__data_loc {}[] {}", self.ty, self.name),
            FieldPlace::RelLoc => return format!("__rel_loc {}[] {}", self.ty, self.name),
        };
        match self.array_len {
            Some(len) => format!("{prefix}{}{gap}{}[{len}]", self.ty, self.name),
            None => format!("{prefix}{}{gap}{}", self.ty, self.name),
        }
    }

    /// Bytes of one element, for an inline array of known length; else the size of the field.
    pub fn element_size(&self) -> u32 {
        match self.array_len {
            Some(len) if len > 0 && self.size.is_multiple_of(len) => self.size / len,
            _ => self.size,
        }
    }
}

/// A parsed `format` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpFormat {
    /// Event name.
    pub name: String,
    /// Event id, as `perf_event_open` wants it.
    pub id: u32,
    /// Fields in file order, common ones first.
    pub fields: Vec<Field>,
    /// The kernel's own format string and its arguments.
    pub print_format: String,
}

impl TpFormat {
    /// Parses the text of a `format` file.
    ///
    /// Errors name the line. Lines of a kind that is not known are passed over.
    pub fn parse(text: &str) -> Result<Self> {
        let mut format = Self { name: String::new(), id: 0, fields: Vec::new(), print_format: String::new() };
        for (number, line) in (1u32..).zip(text.lines()) {
            let bad = |reason: String| Error::new("event format", format!("line {number}: {reason}"));
            let line = line.trim();
            if let Some(name) = line.strip_prefix("name:") {
                format.name = name.trim().to_owned();
            } else if let Some(id) = line.strip_prefix("ID:") {
                format.id = id.trim().parse().map_err(|_| bad(format!("'{}' is no event id", id.trim())))?;
            } else if let Some(field) = line.strip_prefix("field:") {
                format.fields.push(parse_field(field).map_err(bad)?);
            } else if let Some(print) = line.strip_prefix("print fmt:") {
                format.print_format = print.trim().to_owned();
            }
        }
        if format.name.is_empty() {
            return Err(Error::new("event format", "there is no 'name:' line; is this a format file?"));
        }
        Ok(format)
    }

    /// The field with this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Bytes of the fixed part of the record; a program that reads past it is refused when it is attached.
    pub fn record_size(&self) -> u32 {
        self.fields.iter().map(|f| f.offset.saturating_add(f.size)).max().unwrap_or(0)
    }
}

/// Parses `char comm[16];\toffset:8;\tsize:16;\tsigned:0;`.
fn parse_field(text: &str) -> Result<Field, String> {
    let mut parts = text.split(';').map(str::trim);
    let declaration = parts.next().unwrap_or("");
    let (mut offset, mut size, mut is_signed) = (None, None, false);
    for part in parts.filter(|part| !part.is_empty()) {
        let Some((key, value)) = part.split_once(':') else { continue };
        let number = || value.trim().parse::<u32>().map_err(|_| format!("'{part}' has no number"));
        match key {
            "offset" => offset = Some(number()?),
            "size" => size = Some(number()?),
            "signed" => is_signed = number()? != 0,
            _ => {}
        }
    }
    let (Some(offset), Some(size)) = (offset, size) else {
        return Err(format!("field '{declaration}' has no offset or no size"));
    };
    let (name, ty, array_len, place) = parse_declaration(declaration)?;
    let is_common = name.starts_with("common_");
    Ok(Field { name, ty, array_len, offset, size, is_signed, is_common, place })
}

type Declaration = (String, String, Option<u32>, FieldPlace);

fn parse_declaration(text: &str) -> Result<Declaration, String> {
    let (text, place) = if let Some(rest) = text.strip_prefix("__data_loc ") {
        (rest.trim(), FieldPlace::DataLoc)
    } else if let Some(rest) = text.strip_prefix("__rel_loc ") {
        (rest.trim(), FieldPlace::RelLoc)
    } else {
        (text, FieldPlace::Inline)
    };
    let (head, array_len) = match (text.strip_suffix(']'), text.rfind('[')) {
        (Some(inner), Some(open)) => {
            let len = inner.get(open + 1..).unwrap_or("").trim();
            (text[..open].trim_end(), Some(len.parse().unwrap_or(0)))
        }
        _ => (text, None),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name_at =
        head.rfind(|c| !is_name(c)).map_or(0, |at| at + head[at..].chars().next().map_or(1, char::len_utf8));
    let (ty, name) = head.split_at(name_at);
    if name.is_empty() {
        return Err(format!("'{text}' does not end in a field name"));
    }
    // Dynamic fields carry the brackets at the type: `char[] name`.
    let ty = ty.trim();
    let ty = if place == FieldPlace::Inline { ty } else { ty.strip_suffix("[]").unwrap_or(ty).trim_end() };
    let array_len = if place == FieldPlace::Inline { array_len } else { None };
    Ok((name.to_owned(), ty.to_owned(), array_len, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "name: demo\nID: 314\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
        \tfield:unsigned long args[6];\toffset:24;\tsize:48;\tsigned:0;\n\
        \tfield:const char * path;\toffset:72;\tsize:8;\tsigned:0;\n\
        \tfield:__data_loc char[] file;\toffset:80;\tsize:4;\tsigned:0;\n\
        \tfield:__rel_loc __u8[] raw;\toffset:84;\tsize:4;\tsigned:0;\n\
        \tfield:char old[TASK_COMM_LEN];\toffset:88;\tsize:16;\tsigned:0;\n\n\
        print fmt: \"comm=%s\", REC->comm\n";

    #[test]
    fn reads_every_shape_of_field() {
        let format = TpFormat::parse(TEXT).unwrap();
        assert_eq!((format.name.as_str(), format.id), ("demo", 314));
        assert_eq!(format.print_format, "\"comm=%s\", REC->comm");
        assert_eq!(format.record_size(), 104);
        let texts: Vec<String> =
            format.fields.iter().filter(|f| !f.is_common).map(Field::declaration).collect();
        assert_eq!(
            texts,
            [
                "char comm[16]",
                "unsigned long args[6]",
                "const char *path",
                "__data_loc char[] file",
                "__rel_loc __u8[] raw",
                "char old[0]",
            ]
        );
        let args = format.field("args").unwrap();
        assert_eq!((args.element_size(), args.array_len, args.is_signed), (8, Some(6), false));
        assert!(format.field("common_pid").unwrap().is_signed);
        let file = format.field("file").unwrap();
        assert_eq!((file.ty.as_str(), file.place), ("char", FieldPlace::DataLoc));
    }

    #[test]
    fn errors_name_the_line() {
        let error = TpFormat::parse("name: x\nID: many\n").unwrap_err();
        assert!(error.reason.contains("line 2") && error.reason.contains("many"), "{error}");
        assert!(TpFormat::parse("").unwrap_err().reason.contains("name:"));
        assert!(TpFormat::parse("name: x\nfield:int a;\n").unwrap_err().reason.contains("offset"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(field:|name: x|ID: )?[ -~é\t\n]{0,80}") {
            let _ = TpFormat::parse(&text);
        }
    }
}
