//! JSON Pointers (RFC 6901): how a place in the options is named between the schema and the file.

/// The pointer to a key of what `pointer` points to.
pub(crate) fn join(pointer: &str, key: &str) -> String {
    let escaped = key.replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{escaped}")
}

/// The keys and indices of a pointer.
pub(crate) fn segments(pointer: &str) -> impl Iterator<Item = String> {
    pointer
        .split('/')
        .skip(1)
        .map(|segment| segment.replace("~1", "/").replace("~0", "~"))
}

/// A place as people read it: `` `columns.ts.format[0]` ``; `` `with` `` for all of the options.
pub(crate) fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for segment in segments(pointer) {
        let is_index = !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
        if is_index && !path.is_empty() {
            path.push('[');
            path.push_str(&segment);
            path.push(']');
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&segment);
        }
    }
    if path.is_empty() {
        return "`with`".to_owned();
    }
    crate::words::quoted(&path)
}

/// Whether `outer` points to what `inner` points to, or to something around it.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::{covers, dotted, join, segments};

    #[test]
    fn pointers_name_any_key_and_read_as_paths() {
        let pointer = join(&join("", "a/b~c"), "0");
        assert_eq!(segments(&pointer).collect::<Vec<_>>(), ["a/b~c", "0"]);
        assert_eq!(dotted("/columns/ts/format/0"), "`columns.ts.format[0]`");
        assert_eq!(dotted(""), "`with`");
        assert!(covers("/a", "/a/b") && covers("/a", "/a") && covers("", "/a"));
        assert!(!covers("/a", "/ab"));
    }
}
