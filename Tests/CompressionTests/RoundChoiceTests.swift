import CoppiceCompression
import Testing

@Suite struct RoundChoiceTests {
    private func chosen(_ accuracies: [Double], _ tolerance: Double) -> (round: Int, state: Int)? {
        var choice = RoundChoice<Int>(tolerance: tolerance)
        for (round, accuracy) in accuracies.enumerated() { choice.add(round, accuracy: accuracy, 10 * round) }
        return choice.chosen.map { ($0.round, $0.state) }
    }

    /// As if all rounds were kept until the end.
    @Test func theSparsestNearTheBestIsChosen() throws {
        #expect(chosen([], 0)?.round == nil)
        var generator = SystemRandomNumberGenerator()
        var tried = [[0.5], [0.5, 0.5, 0.4], [0.8, 0.9, 0.85, 0.7], [0.9, 0.8, 0.7, 0.95, 0.6], [0.1, 0.2, 0.3]]
        tried += (0..<200).map { _ in (0..<8).map { _ in Double(Int.random(in: 0...20, using: &generator)) / 20 } }
        for accuracies in tried {
            for tolerance in [0, 0.06, 0.11, 1] {
                let best = try #require(accuracies.max())
                let expected = try #require(accuracies.lastIndex(where: { $0 >= best - tolerance }))
                let found = try #require(chosen(accuracies, tolerance))
                #expect(found.round == expected && found.state == 10 * expected, "\(accuracies), \(tolerance)")
            }
        }
    }

    @Test func onlyRoundsThatMayBeChosenAreHeld() {
        var choice = RoundChoice<Int>(tolerance: 0)
        for (round, accuracy) in [0.5, 0.6, 0.4, 0.6, 0.2].enumerated() {
            choice.add(round, accuracy: accuracy, round)
            #expect(choice.heldCount == 1)
        }
        var tolerant = RoundChoice<Int>(tolerance: 0.25)
        for (round, accuracy) in [0.9, 0.8, 0.7, 0.1].enumerated() { tolerant.add(round, accuracy: accuracy, round) }
        #expect(tolerant.heldCount == 3 && tolerant.chosen?.round == 2)
    }

    /// Levels of a fifth as iterative pruning takes them, of the paper's numbers: 14, 18 and 21 to 5, 2 and 1 %.
    @Test func levelsOfConstantFractions() throws {
        let fifth = try ConstantFraction(0.2)
        #expect([50_000, 20_000, 10_000].map { fifth.levels(keeping: $0, of: 1_000_000) } == [14, 18, 21])
        #expect(fifth.levels(keeping: 100, of: 100) == 0 && fifth.levels(keeping: 80, of: 100) == 1)
        #expect(try ConstantFraction(0.5).levels(keeping: 0, of: 2) == 1)
    }
}
