extension Tensor {
    /// The shape that two shapes broadcast to by the NumPy rules.
    ///
    /// - Precondition: they do.
    public static func broadcastShape(_ a: [Int], _ b: [Int]) -> [Int] {
        let rank = max(a.count, b.count)
        return (0..<rank).map { axis in
            let x = axis < rank - a.count ? 1 : a[axis - (rank - a.count)]
            let y = axis < rank - b.count ? 1 : b[axis - (rank - b.count)]
            precondition(x == y || x == 1 || y == 1, "shapes \(a) and \(b) do not broadcast")
            return x == 1 ? y : x
        }
    }

    private static func combine(_ operation: BinaryOperation, _ a: Tensor, _ b: Tensor) -> Tensor {
        let type = DataType.promoted(a.dataType, b.dataType)
        return apply(.binary(operation), [a.converted(to: type), b.converted(to: type)])
    }

    /// A number of this tensor's type, for arithmetic with constants; of f64 for integer types with a fraction.
    private func constant(_ value: Double) -> Tensor {
        dataType.isFloatingPoint || value == value.rounded(.towardZero)
            ? Tensor(value, dataType: dataType == .bool ? .i32 : dataType) : Tensor(value, dataType: .f32)
    }

    // MARK: Arithmetic

    public static func + (a: Tensor, b: Tensor) -> Tensor { combine(.add, a, b) }
    public static func - (a: Tensor, b: Tensor) -> Tensor { combine(.subtract, a, b) }
    public static func * (a: Tensor, b: Tensor) -> Tensor { combine(.multiply, a, b) }
    public static func / (a: Tensor, b: Tensor) -> Tensor { combine(.divide, a, b) }
    public static func + (a: Tensor, b: Double) -> Tensor { a + a.constant(b) }
    public static func - (a: Tensor, b: Double) -> Tensor { a - a.constant(b) }
    public static func * (a: Tensor, b: Double) -> Tensor { a * a.constant(b) }
    public static func / (a: Tensor, b: Double) -> Tensor { a / a.constant(b) }
    public static func + (a: Double, b: Tensor) -> Tensor { b.constant(a) + b }
    public static func - (a: Double, b: Tensor) -> Tensor { b.constant(a) - b }
    public static func * (a: Double, b: Tensor) -> Tensor { b.constant(a) * b }
    public static func / (a: Double, b: Tensor) -> Tensor { b.constant(a) / b }
    public static prefix func - (x: Tensor) -> Tensor { apply(.unary(.negate), [x]) }
    public static func += (a: inout Tensor, b: Tensor) { a = a + b }
    public static func -= (a: inout Tensor, b: Tensor) { a = a - b }
    public static func *= (a: inout Tensor, b: Tensor) { a = a * b }

    /// The larger of two elements; NaN where either is.
    public static func maximum(_ a: Tensor, _ b: Tensor) -> Tensor { combine(.maximum, a, b) }

    /// The smaller of two elements; NaN where either is.
    public static func minimum(_ a: Tensor, _ b: Tensor) -> Tensor { combine(.minimum, a, b) }

    /// Elements brought into a closed range.
    public func clamped(_ low: Double, _ high: Double) -> Tensor {
        Self.minimum(Self.maximum(self, constant(low)), constant(high))
    }

    /// self to the power of the exponent.
    public func power(_ exponent: Tensor) -> Tensor { Self.combine(.power, self, exponent) }

    /// self to the power of a constant.
    public func power(_ exponent: Double) -> Tensor { power(Tensor(exponent, dataType: dataType)) }

    // MARK: Functions

    public func abs() -> Tensor { Self.apply(.unary(.absolute), [self]) }
    /// -1, 0 or 1.
    public func sign() -> Tensor { Self.apply(.unary(.sign), [self]) }
    public func square() -> Tensor { Self.apply(.unary(.square), [self]) }
    public func exp() -> Tensor { floating(.exp) }
    /// The natural logarithm.
    public func log() -> Tensor { floating(.log) }
    public func squareRoot() -> Tensor { floating(.squareRoot) }
    public func reciprocalSquareRoot() -> Tensor { floating(.reciprocalSquareRoot) }
    public func reciprocal() -> Tensor { floating(.reciprocal) }
    public func tanh() -> Tensor { floating(.tanh) }
    /// 1 / (1 + exp(-x)).
    public func sigmoid() -> Tensor { floating(.sigmoid) }
    public func sin() -> Tensor { floating(.sin) }
    public func cos() -> Tensor { floating(.cos) }
    /// The error function.
    public func erf() -> Tensor { floating(.errorFunction) }
    public func floor() -> Tensor { floating(.floor) }
    public func ceil() -> Tensor { floating(.ceiling) }
    /// The nearest integer, ties to even.
    public func rounded() -> Tensor { floating(.round) }

    /// A function of real numbers; integers are converted to f32.
    private func floating(_ operation: UnaryOperation) -> Tensor {
        Self.apply(.unary(operation), [dataType.isFloatingPoint ? self : converted(to: .f32)])
    }

    /// max(x, 0).
    public func relu() -> Tensor { Self.maximum(self, constant(0)) }

    /// x sigmoid(x).
    public func silu() -> Tensor { self * sigmoid() }

    /// log(1 + exp(x)), without overflow.
    public func softplus() -> Tensor { relu() + (1 + (-abs()).exp()).log() }

    // MARK: Comparison

    private static func compare(_ comparison: Comparison, _ a: Tensor, _ b: Tensor) -> Tensor {
        let type = DataType.promoted(a.dataType, b.dataType)
        return apply(.comparison(comparison), [a.converted(to: type), b.converted(to: type)])
    }

    /// Whether elements are equal, as bool.
    public func equals(_ other: Tensor) -> Tensor { Self.compare(.equal, self, other) }
    public func isLess(than other: Tensor) -> Tensor { Self.compare(.less, self, other) }
    public func isLess(than value: Double) -> Tensor { isLess(than: constant(value)) }
    public func isLessOrEqual(to other: Tensor) -> Tensor { Self.compare(.lessOrEqual, self, other) }
    public func isGreater(than value: Double) -> Tensor { constant(value).isLess(than: self) }

    /// Elements of `a` where the condition holds, else of `b`.
    public static func select(_ condition: Tensor, _ a: Tensor, _ b: Tensor) -> Tensor {
        let type = DataType.promoted(a.dataType, b.dataType)
        return apply(
            .select, [condition.converted(to: .bool), a.converted(to: type), b.converted(to: type)])
    }

    // MARK: Type

    /// The same numbers in another type. To integers they are truncated toward zero and saturate; to bool, != 0.
    public func converted(to type: DataType) -> Tensor {
        type == dataType ? self : Self.apply(.convert(type), [self])
    }
}
