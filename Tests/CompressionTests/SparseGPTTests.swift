import CKernels
import CoppiceCompression
import CoppiceTensors
import Testing

/// A layer of correlated inputs, and SparseGPT over it in f64 with a Hessian that is inverted anew for each column.
private struct Layer {
    let rows: Int
    let columns: Int
    let weights: Tensor
    let inputs: Tensor
    let dampening = 0.01

    init(_ rows: Int, _ columns: Int, seed: UInt64 = 1, tokens: Int = 64, unused: [Int] = []) {
        (self.rows, self.columns) = (rows, columns)
        var generator = SeededGenerator(seed: seed)
        weights = generator.matrix(rows, columns)
        var x = generator.matrix(tokens, columns).floats()
        for token in 0..<tokens {
            // Neighbours have much in common, so that they can make up for each other; scales differ.
            for column in 1..<columns { x[token * columns + column] += 0.8 * x[token * columns + column - 1] }
            for column in 0..<columns { x[token * columns + column] *= 1 + Float(column % 5) / 2 }
            for column in unused { x[token * columns + column] = 0 }
        }
        inputs = Tensor(x, shape: [tokens, columns])
    }

    var moments: InputMoments {
        var moments = InputMoments()
        moments.add(inputs)
        return moments
    }

    var inverse: InverseMoments { get throws { try moments.inverse(dampening: dampening) } }

    /// H in f64: Xᵀ X, with a part of the mean of its diagonal.
    var hessian: [[Double]] {
        let x = inputs.floats().map(Double.init)
        var h = (0..<columns).map { i in
            (0..<columns).map { j in
                (0..<inputs.shape[0]).reduce(0.0) { $0 + x[$1 * columns + i] * x[$1 * columns + j] }
            }
        }
        let used = (0..<columns).filter { h[$0][$0] > 0 }
        let mean = used.reduce(0) { $0 + h[$1][$1] } / Double(used.count)
        for j in 0..<columns { h[j][j] = (h[j][j] > 0 ? h[j][j] : mean) + dampening * mean }
        return h
    }

    /// [H_{j:}⁻¹] for each j.
    var inverses: [[[Double]]] {
        get throws {
            let h = hessian
            return try (0..<columns).map { j in
                let n = columns - j
                let part = Tensor((j..<columns).flatMap { h[$0][j...] }, shape: [n, n])
                let inverse = try part.inverse().doubles()
                return (0..<n).map { Array(inverse[($0 * n)..<(($0 + 1) * n)]) }
            }
        }
    }

    /// Column by column: `choose` marks what goes before column j is looked at.
    func byColumns(
        _ choose: (_ column: Int, _ values: [[Double]], _ cost: (Int, Int) -> Double, _ kept: inout [[Bool]]) -> Void
    ) throws -> (values: [[Double]], kept: [[Bool]]) {
        let inverses = try inverses
        let flat = weights.floats()
        var w = (0..<rows).map { row in (0..<columns).map { Double(flat[row * columns + $0]) } }
        var kept = [[Bool]](repeating: [Bool](repeating: true, count: columns), count: rows)
        for j in 0..<columns {
            choose(j, w, { w[$0][$1] * w[$0][$1] / inverses[$1][0][0] }, &kept)
            for row in 0..<rows where !kept[row][j] {
                let error = w[row][j] / inverses[j][0][0]
                for right in j..<columns { w[row][right] -= error * inverses[j][0][right - j] }
                w[row][j] = 0
            }
        }
        return (w, kept)
    }

    /// Σ over tokens and outputs of the squared change of the outputs.
    func outputError(_ values: Tensor) -> Double {
        let change = inputs.matmul((values - weights).transposed()).floats()
        return change.reduce(0) { $0 + Double($1) * Double($1) }
    }
}

private func mask(_ kept: [[Bool]]) -> WeightMask {
    WeightMask(rows: kept.count, columns: kept[0].count, kept: kept.flatMap { $0 })
}

private func distance(_ a: Tensor, _ b: [[Double]]) -> Double {
    zip(a.floats(), b.joined()).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
}

private func randomMask(_ rows: Int, _ columns: Int, removing count: Int) -> WeightMask {
    var generator = RandomGenerator(seed: 3)
    return WeightMask(keepingAllOf: rows, columns).shuffled(removing: count, using: &generator)
}

extension WeightMask {
    fileprivate func shuffled(removing count: Int, using generator: inout RandomGenerator) -> WeightMask {
        ExactSelection.mask(.uniform([rows, columns], using: &generator), removing: count)
    }
}

@Suite struct SparseGPTTests {
    @Test(arguments: [1, 5, 7, 128]) func aGivenMaskIsTheSameForAnyBlock(size: Int) throws {
        let layer = Layer(9, 23)
        let given = randomMask(9, 23, removing: 110)
        let expected = try layer.byColumns { column, _, _, kept in
            for row in 0..<9 { kept[row][column] = given[row, column] }
        }
        let (values, kept) = SparseGPT(blockSize: size).prune(layer.weights, .mask(given), inverse: try layer.inverse)
        #expect(kept == given)
        #expect(distance(values, expected.values) < 1e-4)
        #expect(zip(values.floats(), given.indicator.floats()).allSatisfy { ($0 == 0) == ($1 == 0) })
    }

    /// Where all that goes is to the left of all that stays, no order matters: what stays is the least-squares solution.
    @Test func leftColumnsThatGoAreMadeUpForByLeastSquares() throws {
        let layer = Layer(6, 16)
        let gone = 5
        let given = mask((0..<6).map { _ in (0..<16).map { $0 >= gone } })
        let h = layer.hessian
        let right = (0..<gone).map { i in (gone..<16).map { h[i][$0] } }
        let square = Tensor((gone..<16).flatMap { h[$0][gone...] }, shape: [11, 11])
        let w = layer.weights.floats()
        var expected: [[Double]] = []
        for row in 0..<6 {
            // H_KK Δ_K = H_KR w_R
            let force = (0..<11).map { k in (0..<gone).reduce(0.0) { $0 + right[$1][k] * Double(w[row * 16 + $1]) } }
            let change = try square.solve(Tensor(force)).doubles()
            expected.append(
                [Double](repeating: 0, count: gone) + (0..<11).map { Double(w[row * 16 + gone + $0]) + change[$0] })
        }
        let values = SparseGPT(blockSize: 4).prune(layer.weights, .mask(given), inverse: try layer.inverse).values
        #expect(distance(values, expected) < 1e-4)
    }

    @Test(arguments: [4, 10, 24]) func eachBlockHasOneThreshold(size: Int) throws {
        let layer = Layer(8, 24)
        let expected = try layer.byColumns { column, _, cost, kept in
            guard column % size == 0 else { return }
            let block = column..<min(column + size, 24)
            let places = (0..<8).flatMap { row in block.map { (row, $0) } }
            let order = places.sorted { cost($0.0, $0.1) < cost($1.0, $1.1) }
            // 60 % of 8 · 24 is 115; what is gone up to a column is a whole number.
            for (row, column) in order[0..<(115 * block.upperBound / 24 - 115 * block.lowerBound / 24)] {
                kept[row][column] = false
            }
        }
        let (values, kept) = SparseGPT(blockSize: size).prune(layer.weights, .count(115), inverse: try layer.inverse)
        #expect(kept == mask(expected.kept) && kept.removedCount == 115)
        #expect(distance(values, expected.values) < 1e-4)
    }

    /// Groups are chosen from when their turn comes, whatever the block.
    @Test(arguments: [1, 8, 10, 128], ["2:4", "1:3", "4:8"]) func groupsKeepWhatCostsMost(
        size: Int, text: String
    ) throws {
        let pattern = try #require(SemiStructuredPattern(text))
        let (length, layer) = (pattern.groupLength, Layer(7, 24))
        let expected = try layer.byColumns { column, _, cost, kept in
            guard column % length == 0 else { return }
            for row in 0..<7 {
                let order = (column..<(column + length)).sorted { cost(row, $0) < cost(row, $1) }
                for column in order[0..<(length - pattern.kept)] { kept[row][column] = false }
            }
        }
        let (values, kept) = SparseGPT(blockSize: size).prune(
            layer.weights, .pattern(pattern), inverse: try layer.inverse)
        #expect(kept == mask(expected.kept) && kept.satisfies(pattern))
        #expect(distance(values, expected.values) < 1e-4)
    }

    @Test func outputsChangeLess() throws {
        let layer = Layer(16, 40)
        let given = randomMask(16, 40, removing: 320)
        var plain = layer.weights
        given.apply(to: &plain)
        let compensated = SparseGPT().prune(layer.weights, .mask(given), inverse: try layer.inverse).values
        let chosen = SparseGPT().prune(layer.weights, .count(320), inverse: try layer.inverse).values
        #expect(layer.outputError(compensated) < 0.6 * layer.outputError(plain))
        #expect(layer.outputError(chosen) < 0.5 * layer.outputError(compensated))
    }

    @Test func whatIsGoneStaysAndCounts() throws {
        let layer = Layer(8, 24)
        let present = randomMask(8, 24, removing: 60)
        for count in [60, 61, 150, 192] {
            let (values, kept) = SparseGPT(blockSize: 7).prune(
                layer.weights, .count(count), present: present, inverse: try layer.inverse)
            #expect(kept.removedCount == count && kept.isSubset(of: present))
            #expect(values.zeroCount == count)
        }
        let pattern = SemiStructuredPattern(kept: 2, of: 4)
        let kept = SparseGPT().prune(
            layer.weights, .pattern(pattern), present: present, inverse: try layer.inverse
        ).mask
        #expect(kept.satisfies(pattern) && kept.isSubset(of: present))
        // A group that has lost one already loses one more.
        for row in 0..<8 {
            for start in stride(from: 0, to: 24, by: 4) {
                let own = (start..<(start + 4)).count { kept[row, $0] }
                #expect(own == min(2, (start..<(start + 4)).count { present[row, $0] }))
            }
        }
    }

    /// As published: weights on inputs that are always zero become zero and go first, and move nothing.
    @Test func unusedInputsGoFirst() throws {
        let layer = Layer(8, 24, unused: [3, 17])
        let inverse = try layer.inverse
        #expect(inverse.unusedInputs == [3, 17])
        let (values, kept) = SparseGPT(blockSize: 24).prune(layer.weights, .count(16), inverse: inverse)
        #expect(kept == mask((0..<8).map { _ in (0..<24).map { $0 != 3 && $0 != 17 } }))
        #expect(zip(values.floats(), kept.indicator.floats()).allSatisfy { $1 == 0 || $0 != 0 })
        #expect(layer.outputError(values) == 0)
        // A mask that keeps them is obeyed.
        let all = WeightMask(keepingAllOf: 8, 24)
        #expect(
            SparseGPT().prune(layer.weights, .mask(all), inverse: inverse).values.floats() == layer.weights.floats())
    }

    @Test func resultsDoNotDependOnThreads() throws {
        let layer = Layer(70, 200, tokens: 90)
        let before = coppice_thread_count()
        defer { coppice_set_thread_count(before) }
        var results: [[Float]] = []
        for threads in [1, 2, 7] as [Int32] {
            coppice_set_thread_count(threads)
            let inverse = try layer.inverse
            results.append(inverse.factor.floats())
            for choice in [SparseGPT.Choice.count(7000), .pattern(SemiStructuredPattern(kept: 2, of: 4))] {
                results.append(SparseGPT(blockSize: 64).prune(layer.weights, choice, inverse: inverse).values.floats())
            }
        }
        #expect(results[0..<3] == results[3..<6] && results[0..<3] == results[6..<9])
    }
}

@Suite struct InputMomentTests {
    /// More inputs than a panel of products, in several batches.
    @Test func theFactorIsThatOfTheDampenedInverse() throws {
        let (n, tokens) = (600, 24)
        var generator = SeededGenerator(seed: 5)
        let x = generator.matrix(tokens, n)
        var moments = InputMoments()
        moments.add(x.slice(axis: 0, 0..<9).reshaped([1, 9, n]))
        moments.add(x.slice(axis: 0, 9..<tokens))
        #expect(moments.rowCount == tokens && moments.squares.count == n)
        let wide = x.converted(to: .f64)
        let h = wide.transposed().matmul(wide)
        let squares = (0..<n).map { h.doubles()[$0 * (n + 1)] }
        #expect(zip(moments.squares, squares).allSatisfy { abs($0 - $1) < 1e-5 * $1 })
        let added = Tensor(
            (0..<(n * n)).map { $0 % (n + 1) == 0 ? 0.1 * squares.reduce(0, +) / Double(n) : 0 }, shape: [n, n])
        let u = try moments.inverse(dampening: 0.1).factor.converted(to: .f64)
        let identity = u.transposed().matmul(u).matmul(h + added).doubles()
        #expect(identity.enumerated().allSatisfy { abs($1 - ($0 % (n + 1) == 0 ? 1 : 0)) < 1e-3 })
        let factor = u.doubles()
        #expect((0..<n).allSatisfy { row in (0..<row).allSatisfy { factor[row * n + $0] == 0 } })
    }

    @Test func inputsThatCannotBeUsedAreNamed() {
        func message(_ inputs: [Float]?, dampening: Double = 0.01) -> String? {
            var moments = InputMoments()
            if let inputs { moments.add(Tensor(inputs, shape: [1, inputs.count])) }
            do {
                _ = try moments.inverse(dampening: dampening)
                return nil
            } catch { return "\(error)" }
        }
        #expect(message(nil)?.contains("calibration saw no inputs") == true)
        #expect(message([1, .nan, 0])?.hasPrefix("input 1 is NaN on the calibration text") == true)
        #expect(message([1, 2, 3e30])?.hasPrefix("input 2 is infinite on the calibration text") == true)
        #expect(
            message([1, 2, 3], dampening: 1e-30)?.contains("not positive definite, expected a larger dampening") == true
        )
        #expect(message([0, 0]) == nil)
    }
}
