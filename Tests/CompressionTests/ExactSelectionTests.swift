import CKernels
import CoppiceCompression
import CoppiceTensors
import Testing

/// The definition, by sorting: indices of the `count` smallest, the earliest first among equals.
private func removedBySorting(_ scores: [Float], _ count: Int) -> Set<Int> {
    Set(scores.indices.sorted { scores[$0] == scores[$1] ? $0 < $1 : scores[$0] < scores[$1] }.prefix(count))
}

private func flags(_ mask: WeightMask) -> [Bool] {
    (0..<mask.count).map { mask[$0 / mask.columns, $0 % mask.columns] }
}

@Suite struct ExactSelectionTests {
    /// Shares in thousandths, whose floors and ceilings are known from whole numbers, though doubles beside them are not
    /// exact: 0.28 × 100 is above 28 and 0.7 × 10 below 7.
    @Test func sharesAreOfWholeNumbers() {
        #expect(0.28 * 100 > 28 && WholeShare.up(0.28, of: 100) == 28)
        for thousandths in 0...1000 {
            for count in [0, 1, 7, 10, 50, 100, 999, 1000, 266_610] {
                let (share, product) = (Double(thousandths) / 1000, thousandths * count)
                #expect(WholeShare.down(share, of: count) == product / 1000)
                #expect(WholeShare.up(share, of: count) == (product + 999) / 1000)
            }
        }
    }

    @Test func removesWhatASortRemoves() {
        var generator = SeededGenerator(seed: 1)
        for trial in 0..<60 {
            let rows = Int.random(in: 1...9, using: &generator)
            let columns = Int.random(in: 1...131, using: &generator)
            let scores: Tensor
            switch trial % 3 {
            case 0: scores = generator.matrix(rows, columns)
            case 1: scores = coarseMatrix(rows, columns, levels: 1 + trial % 5, seed: UInt64(trial))
            default:
                // Denormals, both zeros, huge and negative numbers.
                let special: [Float] = [
                    0, -0.0, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, .greatestFiniteMagnitude, -3, 1,
                ]
                scores = Tensor(
                    (0..<(rows * columns)).map { _ in special.randomElement(using: &generator) ?? 0 },
                    shape: [rows, columns])
            }
            let count = Int.random(in: 0...(rows * columns), using: &generator)
            let expected = removedBySorting(scores.floats(), count)
            let mask = ExactSelection.mask(scores, removing: count)
            #expect(mask.removedCount == count)
            #expect(flags(mask) == (0..<mask.count).map { !expected.contains($0) })
        }
    }

    @Test func selectsAcrossChunksAndStreams() {
        // More than two of the kernel's chunks of 2^18 scores, with ties on both sides of their borders.
        let count = 700_001
        var generator = SeededGenerator(seed: 2)
        let values = (0..<count).map { _ in Float(UInt16.random(in: 0...999, using: &generator)) }
        let removed = 345_678
        let expected = removedBySorting(values, removed)
        let whole = ExactSelection.mask(Tensor(values, shape: [1, count]), removing: removed)
        #expect(flags(whole) == (0..<count).map { !expected.contains($0) })

        let cuts = [0, 3, 262_144, 262_145, 600_000, count]
        let pieces = zip(cuts, cuts.dropFirst()).map { Tensor(Array(values[$0..<$1]), shape: [1, $1 - $0]) }
        let threshold = ExactSelection.threshold(removing: removed) { visit in
            for piece in pieces { piece.withElements(Float.self) { visit($0) } }
        }
        var ties = threshold.ties
        let streamed = pieces.flatMap { flags(ExactSelection.mask($0, threshold: threshold, ties: &ties)) }
        #expect(streamed == flags(whole))
        #expect(ties == 0)
    }

    @Test(arguments: [1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 64, 100, 257, 9001])
    func groupsRemoveWhatASortRemoves(length: Int) {
        var generator = SeededGenerator(seed: UInt64(length))
        for levels in [0, 1, 3] {
            let groups = length > 1000 ? 6 : 70
            let scores =
                levels == 0
                ? generator.matrix(groups, length)
                : coarseMatrix(groups, length, levels: levels, seed: UInt64(levels))
            let values = scores.floats()
            for removed in Set([0, 1, length / 2, length - 1, length]) where removed <= length {
                let extra = removed < length ? 5 : 0
                let mask = ExactSelection.mask(scores, removing: removed, ofEach: length, extra: extra)
                for group in 0..<groups {
                    let run = Array(values[(group * length)..<((group + 1) * length)])
                    let expected = removedBySorting(run, removed + (group < extra ? 1 : 0))
                    #expect((0..<length).allSatisfy { mask[group, $0] != expected.contains($0) })
                }
            }
        }
    }

    @Test func masksAreNested() {
        let scores = coarseMatrix(37, 53, levels: 40, seed: 3)
        var earlier = WeightMask(keepingAllOf: 37, 53)
        for step in 0...20 {
            let mask = ExactSelection.mask(
                scores, removing: ExactSelection.removedCount(37 * 53, sparsity: Double(step) / 20))
            #expect(mask.isSubset(of: earlier))
            earlier = mask
        }
        #expect(earlier.keptCount == 0)
    }

    @Test func decimalSparsitiesRemoveTheWholeNumber() {
        #expect(ExactSelection.removedCount(100, sparsity: 0.29) == 29)  // 0.29 * 100 is 28.999999999999996
        #expect(ExactSelection.removedCount(10, sparsity: 0.7) == 7)
        #expect(ExactSelection.removedCount(10, sparsity: 0.75) == 7)
        #expect(ExactSelection.removedCount(3, sparsity: 0.999) == 2)
        #expect(ExactSelection.removedCount(0, sparsity: 0.5) == 0)
        #expect(ExactSelection.removedCount(7, sparsity: 0) == 0)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func nonFiniteWeightsAreNamed(value: Float) {
        var elements = [Float](repeating: 1, count: 600_000)
        elements[300_017] = value
        elements[599_999] = value
        #expect {
            try ExactSelection.checkFinite(Tensor(elements, shape: [1000, 600]), name: "a.weight", source: "m")
        } throws: { error in
            guard let error = error as? CoppiceError else { return false }
            return error.kind == .badData && error.description.hasPrefix("m: a.weight: element [500, 17] is ")
        }
        #expect(throws: Never.self) { try ExactSelection.checkFinite(Tensor([Float(0), 1e38]), name: "b") }
    }

    @Test func answersDoNotDependOnThreads() {
        let scores = coarseMatrix(1000, 900, levels: 300, seed: 4)
        let threads = coppice_thread_count()
        defer { coppice_set_thread_count(threads) }
        var masks: [WeightMask] = []
        for count in [1, 2, 5] {
            coppice_set_thread_count(Int32(count))
            masks.append(ExactSelection.mask(scores, removing: 512_345))
            masks.append(ExactSelection.mask(scores, removing: 450, ofEach: 900))
        }
        #expect(masks[0] == masks[2] && masks[0] == masks[4])
        #expect(masks[1] == masks[3] && masks[1] == masks[5])
    }

    /// Thresholds that are looked for near the last one are those of a whole selection, ties and jumps included.
    @Test func trackedThresholdsAreExact() {
        var generator = SeededGenerator(seed: 8)
        var (first, second) = (generator.matrix(40, 50), generator.matrix(30, 20))
        var (tracked, trackedBySize) = (TrackedSelection(), TrackedSelection())
        for step in 0..<40 {
            let count = step == 20 ? 100 : 1700 + step
            let expected = ExactSelection.threshold(removing: count) { visit in
                for own in [first, second] { own.withElements(Float.self) { visit($0) } }
            }
            #expect(tracked.threshold(removing: count, of: [first, second]) == expected, "step \(step)")
            let sizes = [first, second].map { $0.abs().contiguous() }
            let bySize = ExactSelection.threshold(removing: count) { visit in
                for own in sizes { own.withElements(Float.self) { visit($0) } }
            }
            let found = trackedBySize.threshold(removing: count, of: [first, second], bySize: true)
            var (ties, other) = (found.ties, found.ties)
            #expect(found == bySize, "step \(step)")
            #expect(
                ExactSelection.mask(first, threshold: found, ties: &ties, bySize: true)
                    == ExactSelection.mask(sizes[0], threshold: found, ties: &other))
            let scale: Float = step == 30 ? 3 : 0.002
            func moved(_ tensor: Tensor) -> Tensor {
                let values = tensor.floats().map { value in
                    // Coarse from step 10 on: many ties.
                    let next = value + generator.normal() * scale
                    return step < 10 ? next : (next * 16).rounded() / 16
                }
                return Tensor(values, shape: tensor.shape)
            }
            (first, second) = (moved(first), moved(second))
        }
        #expect(tracked.threshold(removing: 0, of: [first]) == .none)
    }
}
