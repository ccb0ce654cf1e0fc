import CSystemPNG
import CoppiceModels
import CoppiceTensors
import Foundation

/// A PNG, PPM or PGM file.
enum ImageFile {
    struct Size: Sendable, Hashable {
        /// 1 (grey) or 3 (red, green, blue).
        var channels = 1
        var rows = 0
        var columns = 0

        var byteCount: Int { channels * rows * columns }
    }

    /// Larger images are refused: the header of a file of a few bytes may promise any size.
    static let largestExtent = 1 << 14

    static func isNamed(_ name: String) -> Bool {
        [".png", ".ppm", ".pgm", ".pnm"].contains { name.lowercased().hasSuffix($0) }
    }

    /// The size of the image in a file, by its header.
    static func size(of path: String) throws(CoppiceError) -> Size {
        try withBytes(path) { (bytes) throws(CoppiceError) in
            let size = isPNG(bytes) ? try PNG.size(bytes, path) : try PortableMap(bytes, path).size
            guard (1...largestExtent).contains(size.rows), (1...largestExtent).contains(size.columns) else {
                throw CoppiceError(
                    .badData, source: path,
                    "is \(size.columns) × \(size.rows) pixels, expected at least 1 and at most \(largestExtent) each way"
                )
            }
            return size
        }
    }

    /// Decodes a file into planes `[channels, rows, columns]`; grey images fill three channels alike. 16-bit samples are
    /// rounded to 8 bits, and what is transparent is seen before black.
    ///
    /// - Parameter size: rows and columns of the file; its channels or three.
    static func read(
        _ path: String, _ size: Size, into planes: UnsafeMutableRawBufferPointer
    ) throws(CoppiceError) {
        try withBytes(path) { (bytes) throws(CoppiceError) in
            var pixels: [UInt8]
            if isPNG(bytes) {
                pixels = try PNG.read(bytes, channels: size.channels, path)
            } else {
                let map = try PortableMap(bytes, path)
                pixels = try map.read(bytes, channels: size.channels, path)
            }
            // The file may have changed since its size was read.
            guard pixels.count == size.byteCount, planes.count == size.byteCount else {
                throw CoppiceError(.badData, source: path, "has another size than its header said")
            }
            let (plane, channels) = (size.rows * size.columns, size.channels)
            for channel in 0..<channels {
                for place in 0..<plane { planes[channel * plane + place] = pixels[place * channels + channel] }
            }
        }
    }

    private static func withBytes<Result>(
        _ path: String, _ body: (UnsafeRawBufferPointer) throws(CoppiceError) -> Result
    ) throws(CoppiceError) -> Result {
        do {
            return try MappedFile(path: path).withBytes(body)
        } catch let error as CoppiceError {
            throw error
        } catch {
            throw CoppiceError(.noInput, source: path, "cannot be read")
        }
    }

    private static func isPNG(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.starts(with: [0x89, 0x50, 0x4E, 0x47])
    }
}

/// PNG by libpng's simplified interface.
private enum PNG {
    static func size(_ bytes: UnsafeRawBufferPointer, _ path: String) throws(CoppiceError) -> ImageFile.Size {
        try withImage(bytes, path) { image in
            let isColour = image.pointee.format & UInt32(PNG_FORMAT_FLAG_COLOR) != 0
            return ImageFile.Size(
                channels: isColour ? 3 : 1, rows: Int(image.pointee.height), columns: Int(image.pointee.width))
        }
    }

    /// Pixels `[rows, columns, channels]`.
    static func read(
        _ bytes: UnsafeRawBufferPointer, channels: Int, _ path: String
    ) throws(CoppiceError) -> [UInt8] {
        try withImage(bytes, path) { (image) throws(CoppiceError) in
            image.pointee.format = channels == 3 ? UInt32(PNG_FORMAT_FLAG_COLOR) : 0
            let (rows, columns) = (Int(image.pointee.height), Int(image.pointee.width))
            guard max(rows, columns) <= ImageFile.largestExtent else {
                throw CoppiceError(.badData, source: path, "is too large")
            }
            var pixels = [UInt8](repeating: 0, count: rows * columns * channels)
            var black = png_color()
            guard png_image_finish_read(image, &black, &pixels, 0, nil) != 0 else { throw failure(image, path) }
            return pixels
        }
    }

    /// Calls `body` with an image whose header has been read. The library keeps the image's address.
    private static func withImage<Result>(
        _ bytes: UnsafeRawBufferPointer, _ path: String,
        _ body: (UnsafeMutablePointer<png_image>) throws(CoppiceError) -> Result
    ) throws(CoppiceError) -> Result {
        let image = UnsafeMutablePointer<png_image>.allocate(capacity: 1)
        image.initialize(to: png_image())
        defer {
            png_image_free(image)
            image.deallocate()
        }
        image.pointee.version = UInt32(PNG_IMAGE_VERSION)
        guard png_image_begin_read_from_memory(image, bytes.baseAddress, bytes.count) != 0 else {
            throw failure(image, path)
        }
        return try body(image)
    }

    private static func failure(_ image: UnsafeMutablePointer<png_image>, _ path: String) -> CoppiceError {
        let message = withUnsafeBytes(of: image.pointee.message) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        return CoppiceError(.badData, source: path, "is cut off or damaged: \(message), expected a PNG image")
    }
}

/// Netpbm's grey and colour maps, in text (P2, P3) and in bytes (P5, P6).
private struct PortableMap {
    private(set) var size = ImageFile.Size()
    private var largest = 255
    private var isText = false
    /// Where the samples begin.
    private var start = 0

    init(_ bytes: UnsafeRawBufferPointer, _ path: String) throws(CoppiceError) {
        guard bytes.count >= 2, bytes[0] == UInt8(ascii: "P"), "2356".utf8.contains(bytes[1]) else {
            throw CoppiceError(.badData, source: path, "expected a PNG, PPM or PGM image")
        }
        isText = bytes[1] <= UInt8(ascii: "3")
        size.channels = bytes[1] == UInt8(ascii: "3") || bytes[1] == UInt8(ascii: "6") ? 3 : 1
        var position = 2
        guard let columns = Self.number(bytes, &position), let rows = Self.number(bytes, &position),
            let largest = Self.number(bytes, &position), (1...65_535).contains(largest)
        else {
            throw CoppiceError(
                .badData, source: path,
                "expected columns, rows and the largest value (1 to 65535) behind P\(bytes[1] - 48)")
        }
        (size.columns, size.rows, self.largest) = (columns, rows, largest)
        // One white space ends the header.
        start = position + 1
    }

    /// Pixels `[rows, columns, channels]`.
    func read(_ bytes: UnsafeRawBufferPointer, channels: Int, _ path: String) throws(CoppiceError) -> [UInt8] {
        let count = size.byteCount
        let width = largest > 255 ? 2 : 1
        // A sample in text takes at least a digit and a space.
        guard bytes.count - start >= (isText ? 2 * count - 1 : count * width) else {
            throw CoppiceError(
                .badData, source: path,
                "is cut off: \(max(0, bytes.count - start)) bytes of samples, expected "
                    + "\(isText ? "at least \(2 * count - 1)" : "\(count * width)")")
        }
        var samples = [UInt8](repeating: 0, count: count)
        var position = start
        for index in 0..<count {
            var value: Int
            if isText {
                guard let number = Self.number(bytes, &position) else {
                    throw CoppiceError(.badData, source: path, "has \(index) samples, expected \(count)")
                }
                value = number
            } else {
                value = Int(bytes[position])
                if width == 2 { value = value << 8 | Int(bytes[position + 1]) }
                position += width
            }
            guard value <= largest else {
                throw CoppiceError(
                    .badData, source: path, field: "sample \(index)", "\(value), expected at most \(largest)")
            }
            samples[index] = largest == 255 ? UInt8(value) : UInt8((value * 255 + largest / 2) / largest)
        }
        return channels == size.channels ? samples : samples.flatMap { [$0, $0, $0] }
    }

    /// The next whole number, behind white space and comments.
    private static func number(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Int? {
        while position < bytes.count,
            bytes[position] == 32 || (9...13).contains(bytes[position]) || bytes[position] == 35
        {
            if bytes[position] == UInt8(ascii: "#") {
                while position < bytes.count, bytes[position] != UInt8(ascii: "\n") { position += 1 }
            } else {
                position += 1
            }
        }
        var value: Int?
        while position < bytes.count, (48...57).contains(bytes[position]), (value ?? 0) < 1 << 30 {
            value = (value ?? 0) * 10 + Int(bytes[position] - 48)
            position += 1
        }
        return value
    }
}
