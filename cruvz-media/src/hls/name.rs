//! The names under which a stream's playlists and media are found, relative to its folder.

use super::Config;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `index.m3u8`: the Multivariant Playlist.
    Multivariant,
    /// `<rendition>.m3u8`: the Media Playlist.
    Playlist,
    /// `<rendition>.<run>.init<n>.mp4`: an initialisation segment.
    Init(u32),
    /// `<rendition>.<run>.<msn>.m4s`: a segment.
    Segment(u64),
    /// `<rendition>.<run>.<msn>.<part>.m4s`: a part of it.
    Part(u64, u32),
}

impl Name {
    /// What `path` names, if it could name anything here.
    pub(super) fn parse(path: &str, config: &Config) -> Option<Self> {
        if path == "index.m3u8" {
            return Some(Self::Multivariant);
        }
        let rest = path.strip_prefix(&config.rendition)?.strip_prefix('.')?;
        if rest == "m3u8" {
            return Some(Self::Playlist);
        }
        let rest = rest.strip_prefix(&config.run)?.strip_prefix('.')?;
        if let Some(init) = rest.strip_prefix("init") {
            return number(init.strip_suffix(".mp4")?).map(Self::Init);
        }
        let media = rest.strip_suffix(".m4s")?;
        match media.split_once('.') {
            Some((msn, part)) => Some(Self::Part(number(msn)?, number(part)?)),
            None => number(media).map(Self::Segment),
        }
    }

    /// The path that names it.
    pub(super) fn path(self, config: &Config) -> String {
        let Config { rendition, run, .. } = config;
        match self {
            Self::Multivariant => "index.m3u8".into(),
            Self::Playlist => format!("{rendition}.m3u8"),
            Self::Init(init) => format!("{rendition}.{run}.init{init}.mp4"),
            Self::Segment(msn) => format!("{rendition}.{run}.{msn}.m4s"),
            Self::Part(msn, part) => format!("{rendition}.{run}.{msn}.{part}.m4s"),
        }
    }
}

/// A decimal number as [`Name::path`] writes it: digits only, no leading zero, so that a thing has one name.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let config = Config::new("r7");
        let names =
            [Name::Multivariant, Name::Playlist, Name::Init(2), Name::Segment(41), Name::Part(u64::MAX, 0)];
        for name in names {
            assert_eq!(Name::parse(&name.path(&config), &config), Some(name));
        }
        assert_eq!(Name::Part(41, 3).path(&config), "main.r7.41.3.m4s");
    }

    #[test]
    fn other_runs_and_near_misses_name_nothing() {
        let config = Config::new("r7");
        for path in [
            "",
            "main",
            "main.m3u",
            "other.m3u8",
            "main.r8.1.m4s",
            "main.r7.01.m4s",
            "main.r7.+1.m4s",
            "main.r7..m4s",
            "main.r7.1.2.3.m4s",
            "main.r7.init.mp4",
            "main.r7.99999999999999999999.m4s",
            "../index.m3u8",
            "index.m3u8/",
        ] {
            assert_eq!(Name::parse(path, &config), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_safe(path in ".{0,60}", tail in "[0-9.a-z]{0,20}") {
            let config = Config::new("r7");
            let _ = Name::parse(&path, &config);
            if let Some(name) = Name::parse(&format!("main.r7.{tail}"), &config) {
                prop_assert_eq!(name.path(&config), format!("main.r7.{tail}"));
            }
        }
    }
}
