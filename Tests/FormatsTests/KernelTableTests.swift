import CKernels
import CoppiceFormats
import CoppiceTensors
import Testing

/// Which kernel multiplies how many rows.
@Suite(.serialized) struct KernelTableTests {
    private static func weights() throws -> [any WeightFormat] {
        let matrix = Samples.matrix(40, 256, seed: 5)
        return [
            try DenseWeight(matrix.converted(to: .bf16)), try DenseWeight(matrix),
            try IntegerGroupWeight(quantizing: matrix, IntegerQuantization(bits: 4, groupSize: 32)),
            try BlockWeight(encoding: matrix, as: .q6_k),
        ]
    }

    @Test func aTableLowersTheRowsThatAreReadOneByOne() throws {
        for weight in try Self.weights() {
            guard let own = KernelTable.standard.choice(for: weight), own.few != nil else { continue }
            let lowered = try #require(KernelTable(fewRows: [weight.label: 3]).choice(for: weight))
            #expect(own.fewRows >= 8, "\(weight.label)")
            #expect(lowered.fewRows == 3, "\(weight.label)")
            #expect(lowered.many == own.many)
            #expect(KernelTable(fewRows: ["other": 3]).choice(for: weight) == own)
            // A table cannot ask a kernel for more than it can.
            #expect(KernelTable(fewRows: [weight.label: 1000]).choice(for: weight) == own)
        }
    }

    @Test func productsAreTheSameUpToRoundingWhateverTheTableSays() throws {
        let x = Samples.matrix(5, 256, seed: 9)
        for weight in try Self.weights() {
            var found: [[Float]] = []
            for table in [KernelTable.standard, KernelTable(fewRows: [weight.label: 2])] {
                var y = [Float](repeating: .nan, count: 5 * weight.rows)
                x.withElements(Float.self) { input in
                    y.withUnsafeMutableBufferPointer { output in
                        guard let from = input.baseAddress, let to = output.baseAddress else { return }
                        WeightGroup([weight], kernels: table).multiply(
                            ActivationRows(from, rows: 5, columns: 256, stride: 256),
                            into: [OutputRows(to, rows: 5, columns: weight.rows, stride: weight.rows)])
                    }
                }
                found.append(y)
            }
            let difference = zip(found[0], found[1]).map { abs($0 - $1) }.max() ?? .infinity
            // Without VNNI only few rows are read as 8-bit integers, whose rounding then tells the two apart.
            let words = KernelTable.standard.choice(for: weight)?.description.split { " ,".contains($0) } ?? []
            let isReadAlike = words.count < 2 || words.last == words[1]
            #expect(difference < (isReadAlike ? 1e-3 : 0.25), "\(weight.label)")
        }
    }

    @Test func saysWhatActivationsAreReadAs() throws {
        let weights = try Self.weights()
        guard coppice_cpu_level_available() == COPPICE_CPU_AVX512, coppice_cpu_has_vnni() == 1 else { return }
        let integers = try #require(KernelTable.standard.choice(for: weights[2]))
        #expect(integers.description == "rows int8 to 8, panels int8")
        if coppice_cpu_has_bf16() == 1 {
            let dense = try #require(KernelTable.standard.choice(for: weights[0], mayNarrow: true))
            #expect(dense.description == "rows f32 to 8, panels bf16")
        }
    }

    @Test func measuringNamesFormatsWithinTheirLimits() throws {
        let weights = try Self.weights()
        var steps: [Int] = []
        let table = KernelTable.measure(weights, passes: 1) { done, _ in steps.append(done) }
        #expect(steps == Array(1...10))
        for weight in weights {
            guard let own = KernelTable.standard.choice(for: weight), own.few != nil else { continue }
            let rows = try #require(table.fewRows[weight.label])
            #expect((1...own.fewRows).contains(rows))
        }
    }
}
