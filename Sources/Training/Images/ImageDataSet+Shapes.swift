import CoppiceTensors

extension ImageDataSet {
    /// Drawn images of ten classes of figures, grey, for tests and demonstrations without a download: polylines, each
    /// turned, sheared, scaled, moved, drawn with a pen of its own width and darkness, with a stray stroke and noise.
    ///
    /// Image k has class k mod 10 and is a function of the seed, the size and k alone, so that sets of different seeds
    /// are training and test images of the same kind. O(pixels), some microseconds an image.
    ///
    /// - Parameters:
    ///   - count: images, at least 1.
    ///   - size: rows and columns, at least 8; 28 is like MNIST.
    ///   - noise: standard deviation of what is added to each pixel, of the range from black to white.
    public static func shapes(_ count: Int, size: Int = 28, noise: Double = 0.15, seed: UInt64) -> ImageDataSet {
        precondition(count > 0 && size >= 8, "\(count) drawings of \(size) × \(size)")
        let pixels = Tensor(uninitialized: [count, 1, size, size], dataType: .u8)
        let bytes = pixels.basePointer.assumingMemoryBound(to: UInt8.self)
        let labels = (0..<count).map { $0 % Figure.all.count }
        for (index, label) in labels.enumerated() {
            var numbers = Numbers(key: EpochOrder.mix(seed) ^ EpochOrder.mix(UInt64(index) | 1 << 40))
            let strokes = Figure.all[label].strokes(&numbers)
            let place = UnsafeMutableBufferPointer(start: bytes + index * size * size, count: size * size)
            draw(strokes, size: size, noise: noise, &numbers, into: place)
        }
        let set = ImageDataSet(
            name: "drawn figures", pixels: pixels, labels: labels, classNames: Figure.all.map(\.name),
            normalization: .centred(channels: 1))
        return set
    }

    private static func draw(
        _ strokes: [Stroke], size: Int, noise: Double, _ numbers: inout Numbers,
        into pixels: UnsafeMutableBufferPointer<UInt8>
    ) {
        let pixel = 1 / Double(size)
        for row in 0..<size {
            for column in 0..<size {
                let (x, y) = ((Double(column) + 0.5) * pixel, (Double(row) + 0.5) * pixel)
                var ink = 0.0
                for stroke in strokes {
                    // A pixel is covered as far as the pen's edge lies beyond it.
                    let covered = (stroke.radius - stroke.distance(x, y)) / pixel + 0.5
                    ink = max(ink, min(1, max(0, covered)) * stroke.darkness)
                }
                let value = ink + noise * numbers.normal()
                pixels[row * size + column] = UInt8(min(255, max(0, value * 255)))
            }
        }
    }
}

/// Random numbers of one drawing, by arithmetic alone: the same on every machine.
private struct Numbers {
    var key: UInt64

    /// Even between two bounds.
    mutating func even(_ low: Double, _ high: Double) -> Double {
        key &+= 1
        return low + (high - low) * Double(EpochOrder.mix(key) >> 11) * 0x1p-53
    }

    /// Nearly normal, of mean 0 and deviation 1: the sum of four even numbers of 16 bits.
    mutating func normal() -> Double {
        key &+= 1
        let bits = EpochOrder.mix(key)
        let sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + bits >> 48
        return (Double(sum) / 65_536 - 2) * 3.0.squareRoot()
    }
}

/// A straight stroke of a round pen in the unit square.
private struct Stroke {
    var start: (x: Double, y: Double)
    var end: (x: Double, y: Double)
    var radius: Double
    var darkness: Double

    /// The distance of a point from the pen's path.
    func distance(_ x: Double, _ y: Double) -> Double {
        let (dx, dy) = (end.x - start.x, end.y - start.y)
        let length = dx * dx + dy * dy
        let along = length > 0 ? min(1, max(0, ((x - start.x) * dx + (y - start.y) * dy) / length)) : 0
        let (offX, offY) = (x - start.x - along * dx, y - start.y - along * dy)
        return (offX * offX + offY * offY).squareRoot()
    }
}

/// A class of figures: lines between points of the square from −1 to 1.
private struct Figure {
    var name: String
    var lines: [[(Double, Double)]]

    /// The strokes of one drawing.
    func strokes(_ numbers: inout Numbers) -> [Stroke] {
        // A turn by its half-angle tangent, up to 17 degrees either way.
        let tangent = numbers.even(-0.15, 0.15)
        let (cosine, sine) = (
            (1 - tangent * tangent) / (1 + tangent * tangent), 2 * tangent / (1 + tangent * tangent)
        )
        let shear = numbers.even(-0.18, 0.18)
        let (width, height) = (numbers.even(0.24, 0.36), numbers.even(0.24, 0.36))
        let (centreX, centreY) = (numbers.even(0.43, 0.57), numbers.even(0.43, 0.57))
        let radius = numbers.even(0.025, 0.055)
        let darkness = numbers.even(0.55, 1)
        func placed(_ point: (Double, Double), _ shake: (Double, Double)) -> (x: Double, y: Double) {
            let (x, y) = ((point.0 + shake.0 + shear * point.1) * width, (point.1 + shake.1) * height)
            return (centreX + cosine * x - sine * y, centreY + sine * x + cosine * y)
        }
        var strokes: [Stroke] = []
        for line in lines {
            let points = line.map { point in
                placed(point, (numbers.even(-0.08, 0.08), numbers.even(-0.08, 0.08)))
            }
            for (start, end) in zip(points, points.dropFirst()) {
                strokes.append(Stroke(start: start, end: end, radius: radius, darkness: darkness))
            }
        }
        // A stray stroke, paler and shorter than the figure's.
        let start = (x: numbers.even(0, 1), y: numbers.even(0, 1))
        let end = (x: start.x + numbers.even(-0.25, 0.25), y: start.y + numbers.even(-0.25, 0.25))
        strokes.append(Stroke(start: start, end: end, radius: radius, darkness: darkness * 0.7))
        return strokes
    }

    static let all = [
        Figure(name: "triangle", lines: [[(-1, 1), (0, -1), (1, 1), (-1, 1)]]),
        Figure(name: "square", lines: [[(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]]),
        Figure(name: "cross", lines: [[(-1, -1), (1, 1)], [(1, -1), (-1, 1)]]),
        Figure(name: "plus", lines: [[(0, -1), (0, 1)], [(-1, 0), (1, 0)]]),
        Figure(name: "zigzag", lines: [[(-1, -1), (1, -1), (-1, 1), (1, 1)]]),
        Figure(name: "hook", lines: [[(-1, -1), (-1, 1), (1, 1)]]),
        Figure(name: "gate", lines: [[(-1, 1), (-1, -1), (1, -1), (1, 1)]]),
        Figure(name: "fork", lines: [[(-1, -1), (0, 0), (1, -1)], [(0, 0), (0, 1)]]),
        Figure(name: "arrow", lines: [[(-1, 0), (1, 0)], [(0, -1), (1, 0), (0, 1)]]),
        Figure(name: "ladder", lines: [[(-1, -1), (-1, 1)], [(1, -1), (1, 1)], [(-1, 0), (1, 0)]]),
    ]
}
