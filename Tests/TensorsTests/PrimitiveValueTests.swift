import CKernels
import CoppiceTensors
import Foundation
import Testing

extension SerializedByVariant {
    /// The values of every primitive against plain loops in f64, for each kernel variant and awkward shapes.
    @Suite struct PrimitiveValueTests {
        static let shapes = [[], [1], [7], [0], [3, 5], [2, 3, 4], [1, 33], [5, 1, 2, 3], [0, 4], [129]]
        static let floating = [DataType.f32, .f64, .bf16, .f16]
        static let integers = [DataType.i8, .u8, .i32, .i64]

        static func numbers(_ shape: [Int], _ type: DataType, low: Double = -4, high: Double = 4, seed: UInt64 = 1)
            -> Tensor
        {
            var generator = RandomGenerator(seed: seed)
            return Tensor.uniform(shape, low: low, high: high, dataType: .f64, using: &generator).converted(to: type)
        }

        // MARK: Elementwise

        struct Unary: CustomTestStringConvertible, Sendable {
            var name: String
            var low = -4.0
            var function: @Sendable (Tensor) -> Tensor
            var reference: @Sendable (Double) -> Double
            var testDescription: String { name }
        }

        static let unaries: [Unary] = [
            .init(name: "negate", function: { -$0 }, reference: { -$0 }),
            .init(name: "abs", function: { $0.abs() }, reference: { abs($0) }),
            .init(name: "sign", function: { $0.sign() }, reference: { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 }),
            .init(name: "square", function: { $0.square() }, reference: { $0 * $0 }),
            .init(name: "exp", function: { $0.exp() }, reference: { exp($0) }),
            .init(name: "log", low: 0.01, function: { $0.log() }, reference: { log($0) }),
            .init(name: "squareRoot", low: 0, function: { $0.squareRoot() }, reference: { $0.squareRoot() }),
            .init(
                name: "reciprocalSquareRoot", low: 0.01, function: { $0.reciprocalSquareRoot() },
                reference: { 1 / $0.squareRoot() }),
            .init(name: "reciprocal", function: { $0.reciprocal() }, reference: { 1 / $0 }),
            .init(name: "tanh", function: { $0.tanh() }, reference: { tanh($0) }),
            .init(name: "sigmoid", function: { $0.sigmoid() }, reference: { 1 / (1 + exp(-$0)) }),
            .init(name: "sin", function: { $0.sin() }, reference: { sin($0) }),
            .init(name: "cos", function: { $0.cos() }, reference: { cos($0) }),
            .init(name: "erf", function: { $0.erf() }, reference: { erf($0) }),
            .init(name: "floor", function: { $0.floor() }, reference: { $0.rounded(.down) }),
            .init(name: "ceil", function: { $0.ceil() }, reference: { $0.rounded(.up) }),
            .init(name: "rounded", function: { $0.rounded() }, reference: { $0.rounded(.toNearestOrEven) }),
        ]

        @Test(arguments: unaries) func unary(_ operation: Unary) {
            underEveryVariant(threads: [2]) { variant in
                for type in Self.floating {
                    for shape in Self.shapes {
                        let x = Self.numbers(shape, type, low: operation.low)
                        let reference = PlainArray(x).map(operation.reference)
                        for (layout, view) in x.layouts {
                            let y = operation.function(view)
                            #expect(y.dataType == type)
                            #expect(
                                y.matches(reference, relative: 2 * type.precision, absolute: type.precision / 4),
                                "\(variant), \(type) \(shape) \(layout)")
                        }
                    }
                }
            }
        }

        /// Every f32 whose low bits are zero: all exponents, both signs, zeros, infinities, NaN and subnormals.
        @Test(arguments: unaries) func unaryOverTheWholeRange(_ operation: Unary) {
            let points = (0..<(1 << 16)).map { Float(bitPattern: UInt32($0) << 16) }
            let x = Tensor(points)
            underEveryVariant(threads: [2]) { variant in
                let values = operation.function(x).doubles()
                var wrong: [String] = []
                for (point, value) in zip(points, values) {
                    let exact = operation.reference(Double(point))
                    let rounded = Double(Float(exact))
                    // Results below the smallest normal number may be flushed or off by a few of the last places.
                    if !agrees(value, rounded, relative: 5e-7, absolute: 1.2e-38) {
                        wrong.append("\(point): \(value), not \(rounded)")
                    }
                }
                #expect(wrong.isEmpty, "\(variant): \(wrong.count) wrong, such as \(wrong.prefix(3))")
            }
        }

        @Test func integerUnary() {
            underEveryVariant(threads: [2]) { variant in
                for type in Self.integers where type != .u8 {
                    let x = Self.numbers([5, 7], type, low: -11, high: 11)
                    for (layout, view) in x.layouts {
                        let plain = PlainArray(x)
                        #expect((-view).matches(plain.map { -$0 }, relative: 0), "\(variant) \(layout)")
                        #expect(view.abs().matches(plain.map { abs($0) }, relative: 0), "\(variant) \(layout)")
                        #expect(view.square().matches(plain.map { $0 * $0 }, relative: 0), "\(variant) \(layout)")
                        #expect(view.sign().matches(plain.map { $0.signum }, relative: 0), "\(variant) \(layout)")
                    }
                }
            }
        }

        static let pairs: [([Int], [Int])] = [
            ([], []), ([7], [7]), ([3, 5], [5]), ([3, 1], [1, 5]), ([], [2, 2]), ([4], []), ([2, 3, 1], [3, 4]),
            ([0, 3], [1, 3]), ([2, 1, 2, 1], [1, 3, 1, 4]), ([1, 65], [3, 65]), ([17, 3], [17, 1]),
        ]

        @Test(arguments: pairs) func binary(first: [Int], second: [Int]) {
            let operations: [(String, (Tensor, Tensor) -> Tensor, (Double, Double) -> Double)] = [
                ("+", { $0 + $1 }, { $0 + $1 }), ("-", { $0 - $1 }, { $0 - $1 }), ("*", { $0 * $1 }, { $0 * $1 }),
                ("/", { $0 / $1 }, { $0 / $1 }), ("maximum", { .maximum($0, $1) }, { max($0, $1) }),
                ("minimum", { .minimum($0, $1) }, { min($0, $1) }), ("power", { $0.power($1) }, { pow($0, $1) }),
            ]
            underEveryVariant(threads: [2]) { variant in
                for type in Self.floating + Self.integers {
                    let isInteger = !type.isFloatingPoint
                    let a = Self.numbers(first, type, low: isInteger ? 1 : 0.1, high: 9)
                    let b = Self.numbers(second, type, low: isInteger ? 1 : 0.1, high: 4, seed: 2)
                    for (name, operation, exact) in operations where !(isInteger && name == "power") {
                        let reference = PlainArray.broadcast(PlainArray(a), PlainArray(b)) { x, y in
                            isInteger ? max(exact(x, y).rounded(.towardZero), type == .u8 ? 0 : -1e9) : exact(x, y)
                        }
                        for (layoutA, x) in a.layouts {
                            for (layoutB, y) in b.layouts {
                                let result = operation(x, y)
                                #expect(result.dataType == type)
                                #expect(
                                    result.matches(reference, relative: 2 * type.precision, absolute: type.precision),
                                    "\(variant): \(type) \(first) \(layoutA) \(name) \(second) \(layoutB)")
                            }
                        }
                    }
                }
            }
        }

        @Test func extremesKeepNaN() {
            let (a, b) = (Tensor([1, .nan, 2, .nan, .infinity] as [Float]), Tensor([.nan, 1, 3, .nan, 5] as [Float]))
            underEveryVariant(threads: [1]) { variant in
                for (larger, smaller) in [(Tensor.maximum(a, b), Tensor.minimum(a, b))] {
                    #expect(larger.doubles()[0].isNaN && larger.doubles()[1].isNaN && larger.doubles()[3].isNaN)
                    #expect(smaller.doubles()[0].isNaN && smaller.doubles()[1].isNaN && smaller.doubles()[3].isNaN)
                    #expect(larger.floats()[2] == 3 && smaller.floats()[2] == 2 && smaller.floats()[4] == 5)
                }
                let many = Tensor((0..<100).map { $0 == 41 ? Float.nan : Float($0) })
                #expect(many.maximum().scalar.isNaN && many.minimum().scalar.isNaN, "\(variant)")
                #expect(many.reshaped([10, 10]).maximum(axes: [0]).floats()[1].isNaN)
                #expect(many.argmax().integers() == [41])
            }
        }

        @Test(arguments: pairs) func comparisonsAndSelection(first: [Int], second: [Int]) {
            underEveryVariant(threads: [2]) { variant in
                for type in Self.floating + Self.integers {
                    let (a, b) = (Self.numbers(first, type, low: 0), Self.numbers(second, type, low: 0, seed: 2))
                    let (plainA, plainB) = (PlainArray(a), PlainArray(b))
                    func reference(_ holds: (Double, Double) -> Bool) -> PlainArray {
                        .broadcast(plainA, plainB) { holds($0, $1) ? 1 : 0 }
                    }
                    for (layout, x) in a.layouts {
                        for (_, y) in b.layouts {
                            let note = Comment("\(variant) \(type) \(layout)")
                            #expect(x.equals(y).matches(reference { $0 == $1 }, relative: 0), note)
                            let less = x.isLess(than: y)
                            #expect(less.dataType == .bool && less.matches(reference { $0 < $1 }, relative: 0), note)
                            #expect(x.isLessOrEqual(to: y).matches(reference { $0 <= $1 }, relative: 0), note)
                            let chosen = Tensor.select(less, x, y)
                            #expect(chosen.dataType == type, note)
                            #expect(chosen.matches(.broadcast(plainA, plainB) { min($0, $1) }, relative: 0), note)
                        }
                    }
                }
            }
        }

        @Test func promotion() {
            for a in DataType.allCases {
                for b in DataType.allCases {
                    let expected = DataType.promoted(a, b)
                    #expect((Tensor.ones([2], dataType: a) + Tensor.ones([2], dataType: b)).dataType == expected)
                    #expect(DataType.promoted(b, a) == expected)
                }
                for constant in [2.0, -1] {
                    let result = Tensor.ones([1], dataType: a) + constant
                    #expect(result.dataType == (a == .bool ? .i32 : a))
                }
                #expect((Tensor.ones([1], dataType: a) * 0.5).dataType.isFloatingPoint)
            }
            #expect(DataType.promoted(.bf16, .f16) == .f32)
            #expect(DataType.promoted(.i64, .f16) == .f16)
            #expect(DataType.promoted(.u8, .i8) == .i32)
        }

        @Test func conversions() {
            let samples: [Double] = [
                0, 1, -1, 0.5, -0.5, 1.5, 2.5, 127, 128, 200, 255, 256, -128, -129, 300.7, -300.7, 65504, 65520, 70000,
                1e-7, 3e-8,
                2_147_483_647, 2_147_483_648, -2_147_483_649, 1e19, -1e19, 1e300, .infinity, -.infinity, .nan,
                1.00390625,
                1.001953125, 0.1, -0.0,
            ]
            underEveryVariant(threads: [1]) { variant in
                for source in DataType.allCases {
                    let x = Tensor(samples + samples).converted(to: source)
                    let exact = x.doubles()
                    for target in DataType.allCases {
                        let values = x.converted(to: target).doubles()
                        for (value, from) in zip(values, exact) {
                            let expected = Self.converted(from, to: target)
                            #expect(
                                agrees(value, expected, relative: source == .i64 ? 1e-15 : 0),
                                "\(variant): \(from) of \(source) to \(target)")
                        }
                    }
                }
            }
        }

        /// What a number becomes in another type.
        private static func converted(_ x: Double, to type: DataType) -> Double {
            func integer(_ low: Double, _ high: Double) -> Double {
                x.isNaN ? 0 : min(max(x.rounded(.towardZero), low), high)
            }
            switch type {
            case .f64: return x
            case .f32: return Double(Float(x))
            case .f16: return Double(Float16(x))
            case .bf16: return Double(BFloat16(Float(x)).float)
            case .i8: return integer(-128, 127)
            case .u8: return integer(0, 255)
            case .i32: return integer(-2_147_483_648, 2_147_483_647)
            case .i64: return integer(-0x1p63, 0x1p63)
            case .bool: return x != 0 ? 1 : 0
            }
        }
    }
}

extension Double {
    fileprivate var signum: Double { self > 0 ? 1 : self < 0 ? -1 : self }
}
