//! Berths, and the ships that lie at them.

/// A place where one ship can lie.
pub struct Berth {
    pub number: u32,
    pub length: f32,
    pub ship: Option<String>,
}

impl Berth {
    /// Whether a ship of this length can come in.
    pub fn takes(&self, length: f32) -> bool {
        self.ship.is_none() && length <= self.length
    }
}
