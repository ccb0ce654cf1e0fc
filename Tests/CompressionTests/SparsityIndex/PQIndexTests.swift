import CKernels
import CoppiceCompression
import CoppiceTensors
import Foundation
import Testing

/// The definition, straight in f64.
private func reference(_ w: [Float], p: Double, q: Double) -> Double {
    func norm(_ power: Double) -> Double {
        let sum: Double = w.reduce(0) { $0 + pow(Double(abs($1)), power) }
        return pow(sum, 1 / power)
    }
    let factor = pow(Double(w.count), 1 / q - 1 / p)
    return 1 - factor * norm(p) / norm(q)
}

private func vector(_ values: [Float]) -> Tensor { Tensor(values, shape: [values.count]) }

/// Vectors of different shapes of distribution.
private func samples(_ count: Int = 60, seed: UInt64) -> [[Float]] {
    var generator = SeededGenerator(seed: seed)
    let gauss = (0..<count).map { _ in generator.normal() }
    let laplace = (0..<count).map { _ in -Foundation.log(Float.random(in: 0.001..<1, using: &generator)) }
    let pareto = (0..<count).map { _ in 1 / Float.random(in: 0.01..<1, using: &generator) }
    let sparse = gauss.enumerated().map { $0.offset % 5 == 0 ? $0.element : 0 }
    return [gauss, laplace, pareto, sparse]
}

private let orders: [PQIndex] = [
    .gentle, .aggressive, try! PQIndex(p: 0.3, q: 1.5), try! PQIndex(p: 0.5, q: 2), try! PQIndex(p: 2, q: 3),
]

@Suite struct PQIndexTests {
    @Test(arguments: orders)
    func isItsDefinition(index: PQIndex) throws {
        for sample in samples(seed: 1) + samples(70_001, seed: 2) {
            let expected = reference(sample, p: index.p, q: index.q)
            #expect(abs(try index.value(of: vector(sample)) - expected) < 2e-6)
        }
    }

    /// Every kernel variant gives the same number, for sizes around the blocks that it works in.
    @Test func variantsAgree() throws {
        let level = coppice_cpu_level_in_use()
        defer { coppice_set_cpu_level(level) }
        var generator = SeededGenerator(seed: 3)
        for count in [1, 2, 31, 32, 33, 65_535, 65_536, 65_537, 131_105] {
            let values = vector((0..<count).map { _ in generator.normal() })
            for index in orders {
                coppice_set_cpu_level(COPPICE_CPU_PORTABLE)
                let portable = try index.value(of: values)
                for wanted in [COPPICE_CPU_AVX2, COPPICE_CPU_AVX512] where coppice_set_cpu_level(wanted) == wanted {
                    #expect(abs(try index.value(of: values) - portable) < 1e-6)
                }
            }
        }
    }

    @Test func endsOfTheScale() throws {
        for index in orders {
            #expect(try index.value(of: Tensor.ones([40]) * -0.3) < 1e-6)
            #expect(try index.value(of: .zeros([7])) == 0)
            #expect(try index.value(of: .zeros([0])) == 0)
            let single: [Float] = (0..<64).map { $0 == 17 ? -2.5 : 0 }
            let largest = 1 - pow(64, 1 / index.q - 1 / index.p)
            #expect(abs(try index.value(of: vector(single)) - largest) < 1e-6)
            for sample in samples(seed: 4) {
                let value = try index.value(of: vector(sample))
                #expect(value >= 0 && value <= 1 - pow(60, 1 / index.q - 1 / index.p) + 1e-6)
            }
        }
    }

    /// Scaling, cloning, permutation.
    @Test(arguments: orders)
    func invariances(index: PQIndex) throws {
        for sample in samples(seed: 5) {
            let value = try index.value(of: vector(sample))
            for scale: Float in [1e-30, 0.7, 3e20] {
                #expect(abs(try index.value(of: vector(sample.map { $0 * scale })) - value) < 2e-6)
            }
            #expect(abs(try index.value(of: vector(sample + sample)) - value) < 2e-6)
            #expect(abs(try index.value(of: vector(sample.sorted())) - value) < 2e-6)
        }
    }

    /// What the large gives to the small lowers the index (Robin Hood), and so does the same for everyone (rising
    /// tide); zeros raise it (babies), and so does wealth beyond some point (Bill Gates).
    @Test(arguments: orders)
    func axiomsOfSparsity(index: PQIndex) throws {
        for sample in samples(seed: 6).map({ $0.map { abs($0) } }) {
            let value = try index.value(of: vector(sample))
            let order = sample.indices.sorted { sample[$0] < sample[$1] }
            var shared = sample
            let (poor, rich) = (order[10], order[55])
            let gift = (sample[rich] - sample[poor]) * 0.4
            (shared[poor], shared[rich]) = (sample[poor] + gift, sample[rich] - gift)
            // Of orders p ≤ 1 only: beyond, the gift can shrink the norm above the line more than the one below.
            if index.p <= 1 { #expect(try index.value(of: vector(shared)) < value) }
            #expect(try index.value(of: vector(sample.map { $0 + 0.5 })) < value)
            #expect(try index.value(of: vector(sample + [0, 0, 0, 0])) > value)
            let total = sample.reduce(0, +)
            let wealth = try [10, 20, 40, 80].map { (times: Float) -> Double in
                var own = sample
                own[rich] += total * times
                return try index.value(of: vector(own))
            }
            #expect(zip(wealth, wealth.dropFirst()).allSatisfy { $0 < $1 })
        }
    }

    @Test func removedWeightsDoNotCount() throws {
        var generator = SeededGenerator(seed: 8)
        var matrix = generator.matrix(9, 23)
        let flags = (0..<(9 * 23)).map { $0 % 3 != 1 && !(46..<69).contains($0) }  // row 2 is empty
        let mask = WeightMask(rows: 9, columns: 23, kept: flags)
        let kept = zip(matrix.floats(), flags).filter(\.1).map(\.0)
        let expected = try PQIndex.gentle.value(of: vector(kept))
        #expect(abs(try PQIndex.gentle.value(of: matrix, mask: mask) - expected) < 1e-12)
        let rows = try PQIndex.gentle.values(ofRows: matrix, mask: mask)
        #expect(rows.count == 9 && rows[2] == 0)
        let first = zip(matrix.floats(), flags).prefix(23).filter(\.1).map(\.0)
        #expect(abs(rows[0] - reference(first, p: 0.5, q: 1)) < 1e-9)
        // Whatever stands where a weight was removed.
        matrix.withMutableElements(Float.self) { for k in flags.indices where !flags[k] { $0[k] = 1e-8 } }
        #expect(abs(try PQIndex.gentle.value(of: matrix, mask: mask) - expected) < 1e-12)
    }

    /// The weights that hold all but η of the others' Σ|w|ᵖ are never fewer than the bound says.
    @Test(arguments: [PQIndex.gentle, .aggressive])
    func theBoundHolds(index: PQIndex) throws {
        for sample in samples(seed: 9) {
            let value = try index.value(of: vector(sample))
            let powers = sample.map { pow(Double(abs($0)), index.p) }.sorted(by: >)
            let total = powers.reduce(0, +)
            var head = 0.0
            for (place, power) in powers.enumerated() {
                head += power
                let tail = max(0, total - head) / head
                let bound = index.leastRetained(of: sample.count, index: value, tail: tail)
                #expect(Double(place + 1) >= bound - 1e-10)
            }
        }
    }

    /// k equal numbers among d: 1 − I = (k/d)^(1/p − 1/q), and the bound is k.
    @Test(arguments: [1, 7, 99, 100])
    func equalNumbersAmongZeros(k: Int) throws {
        let sample: [Float] = (0..<100).map { $0 < k ? 0.37 : 0 }
        for index in [PQIndex.gentle, .aggressive] {
            let value = try index.value(of: vector(sample))
            let expected = pow(Double(k) / 100, 1 / index.p - 1 / index.q)
            #expect(abs(1 - value - expected) < 1e-12)
            #expect(abs(index.leastRetained(of: 100, index: value) - Double(k)) < 1e-9)
        }
    }

    /// Normal numbers: 1 − I is √(2/π) for (1, 2), and 0.8472 for (1/2, 1).
    @Test func normalNumbers() throws {
        var generator = RandomGenerator(seed: 11)
        let values = Tensor.normal([400_000], using: &generator)
        let aggressive = try PQIndex.aggressive.value(of: values)
        #expect(abs(1 - aggressive - (2 / Double.pi).squareRoot()) < 2e-3)
        let gentle = try PQIndex.gentle.value(of: values)
        #expect(abs(1 - gentle - 0.8472) < 2e-3)
        #expect(abs(PQIndex.aggressive.leastRetained(of: 1_000, index: aggressive) - 636.6) < 3)
        #expect(abs(PQIndex.gentle.leastRetained(of: 1_000, index: gentle) - 847.2) < 3)
    }

    @Test func refusesWhatIsNoIndex() throws {
        for (p, q) in [(0.0, 1.0), (-1, 1), (1, 1), (2, 1), (.nan, 1), (0.5, .nan), (1, .infinity)] {
            #expect(throws: CoppiceError.self) { try PQIndex(p: p, q: q) }
        }
        #expect(throws: CoppiceError.self) { try PQIndex.gentle.value(of: vector([1, .nan])) }
        #expect(throws: CoppiceError.self) { try PQIndex.gentle.value(of: vector([1, .infinity])) }
        #expect(throws: CoppiceError.self) { try GiniIndex.value(of: vector([1, .nan])) }
    }

    @Test func giniCoefficient() throws {
        #expect(try GiniIndex.value(of: .ones([12])) < 1e-12)
        #expect(try GiniIndex.value(of: .zeros([12])) == 0)
        let single: [Float] = [0, 0, -3, 0]
        #expect(abs(try GiniIndex.value(of: vector(single)) - 0.75) < 1e-12)
        // 1, 2, 3: (−2·1 + 0·2 + 2·3) / (3·6).
        #expect(abs(try GiniIndex.value(of: vector([3, -1, 2])) - 4.0 / 18) < 1e-7)
        let mask = WeightMask(rows: 1, columns: 5, kept: [true, false, true, true, false])
        #expect(abs(try GiniIndex.value(of: vector([3, 9, -1, 2, 0]), mask: mask) - 4.0 / 18) < 1e-7)
    }
}
