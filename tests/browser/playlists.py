"""Parses every playlist of a folder with PyPI's m3u8; the first that fails is an error. usage: playlists.py FOLDER"""

import sys
from pathlib import Path

import m3u8

for path in sorted(Path(sys.argv[1]).glob("*.m3u8")):
    playlist = m3u8.loads(path.read_text())
    if path.name == "index.m3u8":
        assert playlist.is_variant and playlist.playlists[0].stream_info.codecs, path
        continue
    assert playlist.target_duration and playlist.segments and playlist.segment_map, path
    assert all(segment.program_date_time for segment in playlist.segments if segment.uri), path
    if playlist.playlist_type:
        continue  # a recording has no parts
    assert playlist.part_inf.part_target and playlist.server_control.can_block_reload == "YES", path
    parts = [part for segment in playlist.segments for part in segment.parts]
    assert any(part.independent == "YES" for part in parts), path
