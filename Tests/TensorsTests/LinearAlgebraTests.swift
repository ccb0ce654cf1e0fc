import CoppiceTensors
import Foundation
import Testing

/// A matrix in plain Swift: what the tests compute with, independently of tensors.
struct PlainMatrix: Equatable {
    var rows: Int
    var columns: Int
    var elements: [Double]

    init(_ rows: Int, _ columns: Int, _ element: (Int, Int) -> Double) {
        (self.rows, self.columns) = (rows, columns)
        elements = (0..<rows * columns).map { element($0 / columns, $0 % columns) }
    }

    /// Matrix `index` of a batch.
    init(_ tensor: Tensor, _ index: Int = 0) {
        (rows, columns) = (tensor.shape[tensor.rank - 2], tensor.shape[tensor.rank - 1])
        elements = Array(tensor.doubles()[index * rows * columns..<(index + 1) * rows * columns])
    }

    subscript(row: Int, column: Int) -> Double { elements[row * columns + column] }
    var transposed: PlainMatrix { PlainMatrix(columns, rows) { self[$1, $0] } }
    static func identity(_ n: Int) -> PlainMatrix { PlainMatrix(n, n) { $0 == $1 ? 1 : 0 } }

    static func * (a: PlainMatrix, b: PlainMatrix) -> PlainMatrix {
        PlainMatrix(a.rows, b.columns) { i, j in (0..<a.columns).reduce(0) { $0 + a[i, $1] * b[$1, j] } }
    }

    /// The largest difference of two elements; infinite for other shapes or where one is NaN.
    func distance(_ other: PlainMatrix) -> Double {
        guard rows == other.rows, columns == other.columns else { return .infinity }
        return zip(elements, other.elements).reduce(0) { largest, pair in
            let difference = abs(pair.0 - pair.1)
            return difference.isNaN ? .infinity : max(largest, difference)
        }
    }
}

extension Tensor {
    fileprivate func element(_ index: Int) -> Double { doubles()[index] }
}

@Suite struct LinearAlgebraTests {
    static let shapes = [
        [1, 1], [5, 5], [7, 3], [3, 7], [1, 6], [6, 1], [33, 65], [2, 4, 4], [3, 2, 5, 3], [2, 0, 3], [3, 0], [0, 0],
        [0, 4, 4],
    ]
    static let squares = [
        [1, 1], [2, 2], [5, 5], [40, 40], [3, 4, 4], [2, 2, 3, 3], [0, 0], [0, 3, 3], [4, 0, 0],
    ]
    static let types = [DataType.f32, .f64]

    static func random(_ shape: [Int], _ type: DataType, seed: UInt64 = 1) -> Tensor {
        var generator = RandomGenerator(seed: seed)
        return Tensor.normal(shape, dataType: type, using: &generator)
    }

    /// G Gᵀ + I for each matrix.
    static func positiveDefinite(_ shape: [Int], _ type: DataType) -> Tensor {
        let base = random(shape, .f64)
        var elements: [Double] = []
        for i in 0..<count(base) {
            let g = PlainMatrix(base, i)
            let product = g * g.transposed
            elements += PlainMatrix(g.rows, g.rows) { product[$0, $1] + ($0 == $1 ? 1 : 0) }.elements
        }
        return Tensor(elements, shape: shape).converted(to: type)
    }

    static func count(_ tensor: Tensor) -> Int { tensor.shape.dropLast(2).reduce(1, *) }
    static func tolerance(_ type: DataType) -> Double { type == .f64 ? 1e-12 : 3e-5 }

    @Test(arguments: shapes, types) func singularValuesReconstruct(shape: [Int], type: DataType) throws {
        let a = Self.random(shape, type)
        let (m, n) = (shape[shape.count - 2], shape[shape.count - 1])
        let k = min(m, n)
        for full in [false, true] {
            let svd = try a.singularValueDecomposition(full: full)
            #expect(svd.left.shape == shape.dropLast(2) + [m, full ? m : k])
            #expect(svd.rightTransposed.shape == shape.dropLast(2) + [full ? n : k, n])
            #expect(svd.values.shape == shape.dropLast(2) + [k] && svd.values.dataType == type)
            let values = svd.values.doubles()
            for i in 0..<Self.count(a) {
                let (u, v) = (PlainMatrix(svd.left, i), PlainMatrix(svd.rightTransposed, i))
                let sigma = PlainMatrix(u.columns, v.rows) { $0 == $1 ? values[i * k + $0] : 0 }
                #expect((u * sigma * v).distance(PlainMatrix(a, i)) < Self.tolerance(type) * 10)
                #expect((u.transposed * u).distance(.identity(u.columns)) < Self.tolerance(type))
                #expect((v * v.transposed).distance(.identity(v.rows)) < Self.tolerance(type))
                let own = values[i * k..<(i + 1) * k]
                #expect(own.allSatisfy { $0 >= 0 } && Array(own) == own.sorted(by: >))
            }
            let only = try a.singularValues().doubles()
            #expect(zip(only, values).allSatisfy { abs($0 - $1) < Self.tolerance(type) * 10 })
            #expect(only.count == values.count)
        }
    }

    @Test func knownSingularValues() throws {
        // A Aᵀ of [[3, 0], [4, 5]] has eigenvalues 45 and 5.
        let values = try Tensor([3.0, 0, 4, 5], shape: [2, 2]).singularValues().doubles()
        #expect(abs(values[0] - 45.0.squareRoot()) < 1e-14 && abs(values[1] - 5.0.squareRoot()) < 1e-14)
    }

    @Test func rankDeficientMatrices() throws {
        let (u, v) = (PlainMatrix(Self.random([6, 2], .f64)), PlainMatrix(Self.random([2, 5], .f64, seed: 2)))
        let product = u * v
        let a = Tensor(product.elements, shape: [6, 5])
        #expect(try a.matrixRank().integers() == [2])
        #expect(try Tensor([Double](repeating: 0, count: 12), shape: [2, 3, 2]).matrixRank().integers() == [0, 0])
        #expect(try Tensor([1.0, 0, 0, 1e-3], shape: [2, 2]).matrixRank(tolerance: 1e-2).integers() == [1])
        // The four equations of Penrose.
        let p = PlainMatrix(try a.pseudoinverse())
        #expect((product * p * product).distance(product) < 1e-12)
        #expect((p * product * p).distance(p) < 1e-12)
        #expect((product * p).transposed.distance(product * p) < 1e-12)
        #expect((p * product).transposed.distance(p * product) < 1e-12)
        // The shortest of all solutions is the pseudoinverse's.
        let b = Self.random([6, 3], .f64, seed: 3)
        let fit = try a.leastSquares(b)
        #expect(fit.rank.integers() == [2])
        #expect(PlainMatrix(fit.solution).distance(p * PlainMatrix(b)) < 1e-12)
    }

    @Test(arguments: shapes, types) func pseudoinverseOfAnyShape(shape: [Int], type: DataType) throws {
        let a = Self.random(shape, type)
        let p = try a.pseudoinverse()
        #expect(p.shape == shape.dropLast(2) + [shape[shape.count - 1], shape[shape.count - 2]])
        for i in 0..<Self.count(a) {
            let (x, y) = (PlainMatrix(a, i), PlainMatrix(p, i))
            #expect((x * y * x).distance(x) < Self.tolerance(type) * 30)
        }
    }

    @Test(arguments: squares, types) func eigenvectorsDiagonalize(shape: [Int], type: DataType) throws {
        let n = shape[shape.count - 1]
        let lower = Self.random(shape, type)
        let result = try lower.symmetricEigendecomposition()
        #expect(result.values.shape == Array(shape.dropLast()) && result.vectors.shape == shape)
        let values = result.values.doubles()
        let only = try lower.symmetricEigenvalues().doubles()
        #expect(only.count == values.count)
        #expect(zip(only, values).allSatisfy { abs($0 - $1) < Self.tolerance(type) * 10 })
        for i in 0..<Self.count(lower) {
            let full = PlainMatrix(lower, i)
            // Only the lower triangle counts.
            let a = PlainMatrix(n, n) { full[max($0, $1), min($0, $1)] }
            let v = PlainMatrix(result.vectors, i)
            let scaled = PlainMatrix(n, n) { v[$0, $1] * values[i * n + $1] }
            #expect((a * v).distance(scaled) < Self.tolerance(type) * 10)
            #expect((v.transposed * v).distance(.identity(n)) < Self.tolerance(type))
            let own = values[i * n..<(i + 1) * n]
            #expect(Array(own) == own.sorted())
        }
    }

    @Test(arguments: shapes, types) func qrReconstructs(shape: [Int], type: DataType) throws {
        let a = Self.random(shape, type)
        let (m, n) = (shape[shape.count - 2], shape[shape.count - 1])
        for complete in [false, true] {
            let size = complete ? m : min(m, n)
            let qr = try a.qrDecomposition(complete: complete)
            #expect(qr.orthogonal.shape == shape.dropLast(2) + [m, size])
            #expect(qr.triangular.shape == shape.dropLast(2) + [size, n])
            for i in 0..<Self.count(a) {
                let (q, r) = (PlainMatrix(qr.orthogonal, i), PlainMatrix(qr.triangular, i))
                #expect((q * r).distance(PlainMatrix(a, i)) < Self.tolerance(type))
                #expect((q.transposed * q).distance(.identity(size)) < Self.tolerance(type))
                #expect(r == PlainMatrix(size, n) { $0 > $1 ? 0 : r[$0, $1] })
            }
        }
    }

    @Test(arguments: squares, types) func choleskyReconstructsAndSolves(shape: [Int], type: DataType) throws {
        let a = Self.positiveDefinite(shape, type)
        let n = shape[shape.count - 1]
        let factor = try a.choleskyFactor()
        let b = Self.random(shape.dropLast() + [3], type, seed: 5)
        let x = try factor.choleskySolve(b)
        #expect(x.shape == b.shape)
        for i in 0..<Self.count(a) {
            let l = PlainMatrix(factor, i)
            #expect((l * l.transposed).distance(PlainMatrix(a, i)) < Self.tolerance(type) * 50)
            #expect(l == PlainMatrix(n, n) { $0 < $1 ? 0 : l[$0, $1] })
            #expect((PlainMatrix(a, i) * PlainMatrix(x, i)).distance(PlainMatrix(b, i)) < Self.tolerance(type) * 50)
        }
    }

    @Test(arguments: squares, types) func theFactorOfTheInverseIsUpperTriangular(shape: [Int], type: DataType) throws {
        let a = Self.positiveDefinite(shape, type)
        let n = shape[shape.count - 1]
        let factor = try a.inverseCholeskyFactor()
        for i in 0..<Self.count(a) {
            let (u, m) = (PlainMatrix(factor, i), PlainMatrix(a, i))
            #expect((u.transposed * u * m).distance(.identity(n)) < Self.tolerance(type) * 300)
            #expect(u == PlainMatrix(n, n) { $0 > $1 ? 0 : u[$0, $1] })
        }
    }

    @Test(arguments: squares, types) func luSolvesInvertsAndMeasures(shape: [Int], type: DataType) throws {
        let a = Self.random(shape, type)
        let n = shape[shape.count - 1]
        let b = Self.random(shape.dropLast() + [2], type, seed: 6)
        let factors = try a.luFactorization()
        let (x, y, inverse) = (try factors.solve(b), try factors.solve(b, transposed: true), try a.inverse())
        let (sign, logarithm) = factors.signAndLogDeterminant()
        #expect(try a.solve(b).doubles() == x.doubles())
        for i in 0..<Self.count(a) {
            let (m, right) = (PlainMatrix(a, i), PlainMatrix(b, i))
            // Random matrices of this size have condition numbers of a few hundred.
            let bound = Self.tolerance(type) * 300
            #expect((m * PlainMatrix(x, i)).distance(right) < bound)
            #expect((m.transposed * PlainMatrix(y, i)).distance(right) < bound)
            #expect((m * PlainMatrix(inverse, i)).distance(.identity(n)) < bound)
            let value = factors.determinant().element(i)
            #expect(abs(value - sign.element(i) * exp(logarithm.element(i))) <= 1e-3 * abs(value))
            if n <= 3 { #expect(abs(value - expansion(m)) < Self.tolerance(type) * 10) }
        }
    }

    /// The determinant by cofactors.
    private func expansion(_ m: PlainMatrix) -> Double {
        guard m.rows > 0 else { return 1 }
        return (0..<m.rows).reduce(0.0) { sum, skipped in
            let minor = PlainMatrix(m.rows - 1, m.rows - 1) { m[$0 + 1, $1 < skipped ? $1 : $1 + 1] }
            return sum + (skipped % 2 == 0 ? 1 : -1) * m[0, skipped] * expansion(minor)
        }
    }

    @Test(arguments: types) func triangularSystems(type: DataType) throws {
        let a = Self.random([4, 4], type)
        let b = Self.random([4, 2], type, seed: 7)
        let full = PlainMatrix(a)
        for upper in [false, true] {
            for unit in [false, true] {
                let triangle = PlainMatrix(4, 4) { i, j in
                    i == j ? (unit ? 1 : full[i, i]) : (i < j) == upper ? full[i, j] : 0
                }
                for transposed in [false, true] {
                    let x = try a.solveTriangular(b, upper: upper, transposed: transposed, unitDiagonal: unit)
                    let product = (transposed ? triangle.transposed : triangle) * PlainMatrix(x)
                    #expect(product.distance(PlainMatrix(b)) < Self.tolerance(type) * 100)
                }
            }
        }
    }

    @Test func vectorsAndSharedSides() throws {
        let a = Self.random([3, 4, 4], .f64)
        let vector = Self.random([4], .f64, seed: 8)
        let x = try a.solve(vector)
        #expect(x.shape == [3, 4])
        for i in 0..<3 {
            let own = PlainMatrix(4, 1) { row, _ in x.element(i * 4 + row) }
            #expect((PlainMatrix(a, i) * own).distance(PlainMatrix(4, 1) { row, _ in vector.element(row) }) < 1e-10)
        }
        let one = Self.random([4, 4], .f64, seed: 9)
        let many = Self.random([2, 4, 3], .f64, seed: 10)
        let y = try one.solve(many)
        for i in 0..<2 { #expect((PlainMatrix(one) * PlainMatrix(y, i)).distance(PlainMatrix(many, i)) < 1e-10) }
        #expect(try one.solve(Self.random([4, 0], .f64)).shape == [4, 0])
        // f32 with f64 is solved in f64.
        #expect(try Self.random([2, 2], .f32).solve(Self.random([2], .f64)).dataType == .f64)
    }

    @Test(arguments: shapes, types) func leastSquaresResidualsAreOrthogonal(shape: [Int], type: DataType) throws {
        let a = Self.random(shape, type)
        let (m, n) = (shape[shape.count - 2], shape[shape.count - 1])
        let b = Self.random(shape.dropLast() + [2], type, seed: 11)
        let fit = try a.leastSquares(b)
        #expect(fit.solution.shape == shape.dropLast(2) + [n, 2])
        #expect(fit.rank.integers().allSatisfy { $0 == min(m, n) })
        #expect(
            try fit.singularValues.doubles().elementsEqual(a.singularValues().doubles()) {
                abs($0 - $1) < Self.tolerance(type) * 10
            })
        for i in 0..<Self.count(a) {
            let (x, side) = (PlainMatrix(a, i), PlainMatrix(b, i))
            let product = x * PlainMatrix(fit.solution, i)
            let residual = PlainMatrix(m, 2) { product[$0, $1] - side[$0, $1] }
            #expect((x.transposed * residual).distance(PlainMatrix(n, 2) { _, _ in 0 }) < Self.tolerance(type) * 100)
        }
    }

    @Test func aLineThroughPoints() throws {
        // y = 1 + 2 t exactly.
        let a = Tensor([1.0, 0, 1, 1, 1, 2, 1, 3], shape: [4, 2])
        let fit = try a.leastSquares(Tensor([1.0, 3, 5, 7]))
        #expect(fit.solution.shape == [2])
        #expect(abs(fit.solution.element(0) - 1) < 1e-13 && abs(fit.solution.element(1) - 2) < 1e-13)
    }

    @Test func halfPrecisionIsComputedInSingle() throws {
        let a = Self.random([3, 3], .f32).converted(to: .bf16)
        let values = try a.singularValues()
        #expect(values.dataType == .f32)
        #expect(values.doubles() == (try a.converted(to: .f32).singularValues().doubles()))
    }

    @Test func viewsAreReadInOrder() throws {
        let a = Self.random([4, 3], .f64)
        let svd = try a.transposed().singularValueDecomposition()
        #expect(svd.left.shape == [3, 3] && svd.rightTransposed.shape == [3, 4])
        let sigma = svd.values.doubles()
        let product = PlainMatrix(svd.left) * PlainMatrix(3, 3) { $0 == $1 ? sigma[$0] : 0 }
        #expect((product * PlainMatrix(svd.rightTransposed)).distance(PlainMatrix(a).transposed) < 1e-12)
    }
}

@Suite struct LinearAlgebraErrorTests {
    private func message(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch let error as CoppiceError {
            return error.kind == .badData ? error.description : "\(error.kind)"
        } catch {
            return "another error"
        }
    }

    @Test func nonFiniteElementsAreNamed() {
        for type in [DataType.f32, .f64] {
            let bad = Tensor([1.0, 2, 3, .nan], shape: [2, 2]).converted(to: type)
            let expected = "matrix: element [1, 1] is nan, a finite number expected"
            #expect(message { _ = try bad.singularValueDecomposition() } == expected)
            #expect(message { _ = try bad.singularValues() } == expected)
            #expect(message { _ = try bad.symmetricEigendecomposition() } == expected)
            #expect(message { _ = try bad.qrDecomposition() } == expected)
            #expect(message { _ = try bad.choleskyFactor() } == expected)
            #expect(message { _ = try bad.luFactorization() } == expected)
            #expect(message { _ = try bad.inverse() } == expected)
            #expect(message { _ = try bad.leastSquares(Tensor([1.0, 2])) } == expected)
            #expect(message { _ = try bad.solveTriangular(Tensor([1.0, 2])) } == expected)
        }
        let good = Tensor([1.0, 0, 0, 1], shape: [2, 2])
        #expect(
            message { _ = try good.solve(Tensor([1.0, .infinity])) }
                == "right-hand side: element [1, 0] is inf, a finite number expected")
        let batch = Tensor([1.0, 2, 3, 4, 5, .infinity], shape: [3, 1, 2])
        #expect(message { _ = try batch.singularValues() }?.contains("[2, 0, 1]") == true)
    }

    @Test func indefiniteMatricesHaveNoCholeskyFactor() {
        let expected = "the matrix is not positive definite: its leading minor of order 2 is not positive"
        #expect(message { _ = try Tensor([1.0, 2, 2, 1], shape: [2, 2]).choleskyFactor() } == expected)
        let batch = Tensor([1.0, 0, 0, 1, 1, 2, 2, 1], shape: [2, 2, 2])
        #expect(message { _ = try batch.choleskyFactor() } == "matrix 1 of 2: " + expected)
        #expect(message { _ = try Tensor([0.0], shape: [1, 1]).choleskyFactor() } != nil)
        #expect(
            message { _ = try batch.inverseCholeskyFactor() } == "matrix 1 of 2: the matrix is not positive definite")
    }

    @Test func singularMatricesAreNotSolved() throws {
        let singular = Tensor([1.0, 2, 2, 4], shape: [2, 2])
        let expected = "the matrix is singular: pivot 1 is zero"
        #expect(message { _ = try singular.solve(Tensor([1.0, 2])) } == expected)
        #expect(message { _ = try singular.inverse() } == expected)
        #expect(try singular.determinant().doubles() == [0])
        let (sign, logarithm) = try singular.luFactorization().signAndLogDeterminant()
        #expect(sign.doubles() == [0] && logarithm.doubles() == [-.infinity])
        #expect(
            message { _ = try Tensor([1.0, 0, 5, 0], shape: [2, 2]).solveTriangular(Tensor([1.0, 2])) }
                == "the triangular matrix is singular: element [1, 1] is zero")
    }
}
