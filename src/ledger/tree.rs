//! The Merkle tree: its right edge in memory, its tiles on the disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tlog_tiles::{
    Error as TreeError, HASH_SIZE, Hash, HashReader, Tile, TileReader, split_stored_hash_index,
};

/// Levels of the tree that one tile spans, as `c2sp.org/tlog-tiles` fixes it.
pub(super) const HEIGHT: u8 = 8;
pub(super) const WIDTH: u32 = 1 << HEIGHT;

/// The incomplete tiles of a tree: all that is needed to append to it and to compute its root.
#[derive(Debug, Clone, Default)]
pub(super) struct Edge {
    size: u64,
    rows: Vec<Vec<Hash>>,
    full: Vec<(Tile, Vec<u8>)>,
}

impl Edge {
    /// Reads the edge of a tree of `size` entries. `None` if a tile it needs is not there.
    pub(super) fn load(tiles: &Tiles, size: u64) -> io::Result<Option<Self>> {
        let mut edge = Self { size, ..Self::default() };
        let mut level = 0;
        while let Some(count) = hashes_at(size, level) {
            let mut row = Vec::with_capacity(WIDTH as usize);
            if let Some(tile) = partial(level, count) {
                match tiles.read(&tile)? {
                    Some(data) => row.extend(hashes(&data)),
                    None => return Ok(None),
                }
            }
            edge.rows.push(row);
            level += 1;
        }
        Ok(Some(edge))
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn push(&mut self, leaf: Hash) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..HEIGHT {
            let row = usize::from(level);
            if self.rows.len() == row {
                self.rows.push(Vec::with_capacity(WIDTH as usize));
            }
            let Some(row) = self.rows.get_mut(row) else {
                return;
            };
            row.push(hash);
            if row.len() < WIDTH as usize {
                return;
            }
            let data = bytes(row);
            row.clear();
            hash = Tile::subtree_hash(&data);
            let index = (self.size >> (HEIGHT * level) >> HEIGHT) - 1;
            self.full.push((Tile::new(HEIGHT, level, index, WIDTH, false), data));
        }
    }

    /// The tiles completed since [`Edge::forget_full`].
    pub(super) fn full(&self) -> &[(Tile, Vec<u8>)] {
        &self.full
    }

    pub(super) fn forget_full(&mut self) {
        self.full.clear();
    }

    /// The tiles that are not complete yet.
    pub(super) fn partial(&self) -> Vec<(Tile, Vec<u8>)> {
        (0..)
            .zip(&self.rows)
            .filter_map(|(level, row)| {
                let tile = partial(level, hashes_at(self.size, level)?)?;
                Some((tile, bytes(row)))
            })
            .collect()
    }

    pub(super) fn root(&self) -> Result<Hash, TreeError> {
        tlog_tiles::tree_hash(self.size, self)
    }
}

impl HashReader for Edge {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, TreeError> {
        let find = |index: &u64| {
            let (level, n) = split_stored_hash_index(*index);
            let (row, inner) = (level / HEIGHT, level % HEIGHT);
            let first = hashes_at(self.size, row)? >> HEIGHT << HEIGHT;
            let start = usize::try_from((n << inner).checked_sub(first)?).ok()?;
            let row = self.rows.get(usize::from(row))?;
            let leaves = row.get(start..start + (1 << inner))?;
            Some(Tile::subtree_hash(&bytes(leaves)))
        };
        indexes.iter().map(|index| find(index).ok_or(TreeError::IndexesNotInTree)).collect()
    }
}

/// How many hashes tile level `level` of a tree holds, if it has that level.
fn hashes_at(size: u64, level: u8) -> Option<u64> {
    let shift = u32::from(HEIGHT) * u32::from(level);
    size.checked_shr(shift).filter(|count| *count > 0)
}

/// The incomplete tiles of a tree of `size` entries.
pub(super) fn partial_tiles(size: u64) -> Vec<Tile> {
    (0..=HEIGHT).filter_map(|level| partial(level, hashes_at(size, level)?)).collect()
}

/// The incomplete tile at the end of a level.
fn partial(level: u8, count: u64) -> Option<Tile> {
    let width = u32::try_from(count % u64::from(WIDTH)).ok()?;
    (width > 0).then(|| Tile::new(HEIGHT, level, count >> HEIGHT, width, false))
}

/// The tile that holds the leaf of entry `seq` in a tree of `size` entries.
pub(super) fn leaf_tile(seq: u64, size: u64) -> Tile {
    let index = seq >> HEIGHT;
    let left = size - (index << HEIGHT);
    let width = u32::try_from(left).unwrap_or(WIDTH).min(WIDTH);
    Tile::new(HEIGHT, 0, index, width, false)
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

pub(super) fn hashes(data: &[u8]) -> impl Iterator<Item = Hash> {
    data.as_chunks::<HASH_SIZE>().0.iter().copied().map(Hash)
}

/// The tiles on the disk.
#[derive(Debug, Clone)]
pub(super) struct Tiles {
    dir: PathBuf,
}

impl Tiles {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The crate writes the height into the path, `c2sp.org/tlog-tiles` does not.
    pub(super) fn name(tile: &Tile) -> String {
        tile.path().replacen(&format!("tile/{HEIGHT}/"), "tile/", 1)
    }

    /// The tile's hashes, from a wider tile if this one has already been replaced by it.
    pub(super) fn read(&self, tile: &Tile) -> io::Result<Option<Vec<u8>>> {
        let full = Tile::new(HEIGHT, tile.level(), tile.level_index(), WIDTH, false);
        // A writer may replace the tile between one look and the next, but hardly thrice.
        for _ in 0..3 {
            let mut paths = vec![self.path(tile), self.path(&full)];
            if let Ok(listing) = fs::read_dir(self.partial_dir(&full)) {
                paths.extend(listing.filter_map(|entry| Some(entry.ok()?.path())));
            }
            for path in paths {
                if let Some(data) = read_tile(&path, tile.width())? {
                    return Ok(Some(data));
                }
            }
        }
        Ok(None)
    }

    pub(super) fn write(&self, tile: &Tile, data: &[u8]) -> io::Result<()> {
        write_whole(&self.path(tile), data, tile.width() == WIDTH)
    }

    /// Removes what a complete tile has made superfluous.
    pub(super) fn remove_partials(&self, full: &Tile) {
        // A left-over is harmless: it is the beginning of the complete tile.
        let _ = fs::remove_dir_all(self.partial_dir(full));
    }

    pub(super) fn remove(&self, tile: &Tile) {
        let _ = fs::remove_file(self.path(tile));
    }

    fn path(&self, tile: &Tile) -> PathBuf {
        self.dir.join(Self::name(tile))
    }

    fn partial_dir(&self, full: &Tile) -> PathBuf {
        self.dir.join(format!("{}.p", Self::name(full)))
    }
}

impl TileReader for Tiles {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, TreeError> {
        tiles.iter().map(|tile| self.read(tile).ok().flatten().ok_or(TreeError::InvalidTile)).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// The first `width` hashes of a tile that may be wider.
fn read_tile(path: &Path, width: u32) -> io::Result<Option<Vec<u8>>> {
    let need = width as usize * HASH_SIZE;
    match fs::read(path) {
        Ok(mut data) if data.len() >= need && data.len().is_multiple_of(HASH_SIZE) => {
            data.truncate(need);
            Ok(Some(data))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a file in place in one step, so that no reader ever sees half of it.
pub(super) fn write_whole(path: &Path, data: &[u8], sync: bool) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let fresh = path.with_added_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(data)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use tlog_tiles::{node_hash, record_hash};

    use super::*;

    /// The definition of RFC 6962, section 2.1, word for word.
    fn root_by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => tlog_tiles::EMPTY_HASH,
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(root_by_definition(left), root_by_definition(right))
            }
        }
    }

    #[test]
    fn the_root_is_the_one_rfc_6962_defines() {
        let sizes = (0..=520).chain(65_534..=65_538).chain([66_000]);
        let leaves: Vec<_> = (0..66_000_u32).map(|number| record_hash(&number.to_be_bytes())).collect();
        let mut edge = Edge::default();
        for size in sizes {
            while (edge.size() as usize) < size {
                edge.push(leaves[edge.size() as usize]);
            }
            assert_eq!(edge.root().unwrap(), root_by_definition(&leaves[..size]), "{size}");
        }
        assert_eq!(edge.full().len(), 66_000 / 256 + 1);
    }

    #[test]
    fn the_root_is_the_one_certificate_transparency_publishes() {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut edge = Edge::default();
        for input in inputs {
            edge.push(record_hash(input));
        }
        assert_eq!(
            data_encoding::HEXLOWER.encode(&edge.root().unwrap().0),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }
}
