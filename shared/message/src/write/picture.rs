//! Recognizes pictures that the mail shows in place.

use imagesize::ImageType;

/// Maximum size of a picture that is shown in place, in bytes. A larger picture is only attached.
const MAX_BYTES: usize = 8 << 20;
/// Maximum number of pixels of such a picture: mail programs decode it, and a small file can contain a huge picture.
const MAX_PIXELS: usize = 50_000_000;

/// Maximum width of a displayed picture, in CSS pixels.
const MAX_WIDTH: usize = 560;
const MAX_HEIGHT: usize = 640;

/// The format and size of a picture, read from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    media_type: &'static str,
    width: usize,
    height: usize,
}

impl Picture {
    /// Reads the head of a file; `None` if it is not a JPEG, PNG, GIF or WebP picture, or too large to be shown.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_BYTES {
            return None;
        }
        let media_type = match imagesize::image_type(bytes).ok()? {
            ImageType::Jpeg => "image/jpeg",
            ImageType::Png => "image/png",
            ImageType::Gif => "image/gif",
            ImageType::Webp => "image/webp",
            _ => return None,
        };
        let size = imagesize::blob_size(bytes).ok()?;
        let pixels = size.width.checked_mul(size.height)?;
        (1..=MAX_PIXELS).contains(&pixels).then_some(Self { media_type, width: size.width, height: size.height })
    }

    /// Returns the media type according to the bytes, regardless of the declared one.
    pub(crate) fn media_type(self) -> &'static str {
        self.media_type
    }

    /// Returns the display width. Mail programs derive the height from it.
    pub(crate) fn shown_width(self) -> usize {
        let by_height = self.width.saturating_mul(MAX_HEIGHT) / self.height.max(1);
        self.width.min(MAX_WIDTH).min(by_height).max(1)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The head of a PNG picture, which is all that is read.
    pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend(b"\x08\x02\0\0\0\0\0\0\0");
        bytes
    }

    #[test]
    fn picture_is_shown_when_it_is_one_and_not_too_large() {
        let shown = |width, height| Picture::of(&png(width, height)).map(Picture::shown_width);
        assert_eq!(shown(100, 50), Some(100));
        assert_eq!(shown(4000, 3000), Some(560));
        assert_eq!(shown(1000, 20_000), Some(32));
        assert_eq!(shown(1, 40_000_000), Some(1));
        assert_eq!(shown(100_000, 100_000), None, "a decompression bomb");
        assert_eq!(shown(0, 10), None);
        assert_eq!(Picture::of(b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>"), None);
        assert_eq!(Picture::of(b""), None);
        let mut large = png(10, 10);
        large.resize(MAX_BYTES + 1, 0);
        assert_eq!(Picture::of(&large), None);
    }

    #[test]
    fn format_is_read_from_the_bytes() {
        let gif = b"GIF89a\x10\0\x08\0\0\0\0";
        assert_eq!(
            Picture::of(gif).map(|picture| (picture.media_type(), picture.shown_width())),
            Some(("image/gif", 16))
        );
        assert_eq!(Picture::of(&png(1, 1)).map(Picture::media_type), Some("image/png"));
    }
}
