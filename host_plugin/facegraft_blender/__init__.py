"""Blender add-on; see blender_manifest.toml."""
