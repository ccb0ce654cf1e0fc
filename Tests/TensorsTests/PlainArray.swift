import CoppiceTensors
import Foundation

/// An n-dimensional array of f64 with index arithmetic written out: the independent reference of the tests.
struct PlainArray {
    var shape: [Int]
    var values: [Double]

    init(_ shape: [Int], _ values: [Double]) {
        precondition(values.count == shape.reduce(1, *))
        self.shape = shape
        self.values = values
    }

    init(_ tensor: Tensor) { self.init(tensor.shape, tensor.doubles()) }

    init(_ shape: [Int], _ value: ([Int]) -> Double) {
        self.init(shape, PlainArray.indices(shape).map(value))
    }

    /// All index vectors in row-major order.
    static func indices(_ shape: [Int]) -> [[Int]] {
        shape.reduce([[]]) { prefixes, extent in prefixes.flatMap { prefix in (0..<extent).map { prefix + [$0] } } }
    }

    /// The element at an index; axes of extent 1 repeat, missing leading axes too.
    subscript(index: [Int]) -> Double {
        let own = index.suffix(shape.count)
        return values[zip(own, shape).reduce(0) { $0 * $1.1 + ($1.1 == 1 ? 0 : $1.0) }]
    }

    func map(_ function: (Double) -> Double) -> PlainArray { PlainArray(shape, values.map(function)) }

    static func broadcast(_ a: PlainArray, _ b: PlainArray, _ function: (Double, Double) -> Double) -> PlainArray {
        let rank = max(a.shape.count, b.shape.count)
        let shape = (0..<rank).map { axis -> Int in
            let (i, j) = (axis - rank + a.shape.count, axis - rank + b.shape.count)
            let (x, y) = (i < 0 ? 1 : a.shape[i], j < 0 ? 1 : b.shape[j])
            return x == 1 ? y : x
        }
        return PlainArray(shape) { function(a[$0], b[$0]) }
    }

    /// Combines the elements along axes, which stay with extent 1.
    func reduced(_ axes: [Int], _ start: Double, _ combine: (Double, Double) -> Double) -> PlainArray {
        var target = shape
        for axis in axes { target[axis] = 1 }
        var result = [Double](repeating: start, count: target.reduce(1, *))
        for index in PlainArray.indices(shape) {
            let place = zip(index, target).reduce(0) { $0 * $1.1 + ($1.1 == 1 ? 0 : $1.0) }
            result[place] = combine(result[place], self[index])
        }
        return PlainArray(target, result)
    }
}

/// Whether two numbers are equal, both NaN, or within a relative and an absolute bound.
func agrees(_ a: Double, _ b: Double, relative: Double, absolute: Double = 0) -> Bool {
    if a.isNaN || b.isNaN { return a.isNaN && b.isNaN }
    return a == b || abs(a - b) <= max(absolute, relative * max(abs(a), abs(b)))
}

extension Tensor {
    /// Whether shape and elements are those of a reference, within bounds.
    func matches(_ reference: PlainArray, relative: Double, absolute: Double = 0) -> Bool {
        shape == reference.shape
            && zip(doubles(), reference.values).allSatisfy {
                agrees($0, $1, relative: relative, absolute: absolute)
            }
    }

    /// The same tensor as differently laid out views: itself, a transpose of a transpose's copy, every other element
    /// of a larger one, and reversed twice.
    var layouts: [(name: String, tensor: Tensor)] {
        var result = [(name: "contiguous", tensor: self)]
        guard rank > 0 else { return result }
        let reversed = Array(shape.indices.reversed())
        result.append(("transposed", permuted(reversed).contiguous().permuted(reversed)))
        let spread = shape.map { $0 * 2 + 1 }
        let slices = shape.map { AxisSlice(start: 1, count: $0, step: 2) }
        var wide = [Double](repeating: .nan, count: spread.reduce(1, *))
        let own = doubles()
        for (place, index) in PlainArray.indices(shape).enumerated() {
            wide[zip(index, spread).reduce(0) { $0 * $1.1 + 2 * $1.0 + 1 }] = own[place]
        }
        if dataType.isFloatingPoint {
            result.append(("strided", Tensor(wide, shape: spread).converted(to: dataType).slice(slices)))
        }
        result.append(("reversed", flipped(axis: -1).contiguous().flipped(axis: -1)))
        return result
    }
}

extension DataType {
    /// Relative rounding error of one operation.
    var precision: Double {
        switch self {
        case .f64: 1e-15
        case .f32: 2.5e-7
        case .f16: 6e-4
        case .bf16: 5e-3
        default: 0
        }
    }
}
