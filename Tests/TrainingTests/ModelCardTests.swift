import CoppiceTraining
import Foundation
import Testing

@Suite struct ModelCardTests {
    @Test func longCurvesAreThinned() throws {
        var recipe = TrainingRecipe(text: "data: {}")
        recipe.name = "a | b\nc"
        let text = try TrainingText("ab", separator: "-")
        let facts = TrainingResult.TextFacts(text, TokenStream(tokens: [1, 2, 3], byteCount: 2))
        var state = TrainingState()
        state = try JSONDecoder().decode(
            TrainingState.self,
            from: JSONSerialization.data(withJSONObject: [
                "step": 500, "tokens": 1_234_567, "stopping": ["validationsSinceBest": 3],
                "lossSinceLog": ["sum": 0, "count": 0], "lossSincePoint": ["sum": 0, "count": 0],
                "curve": (1...500).map {
                    ["step": $0, "tokens": $0 * 100, "trainingLoss": 2.0, "validationLoss": 3.0]
                },
            ]))
        let result = TrainingResult(
            outcome: .stoppedEarly, output: "o", runFolder: "o.run", parameters: 3_141_592, vocabularySize: 100,
            state: state,
            totalSteps: 1000, windowsPerEpoch: 10, training: facts, validationText: facts,
            validation: .init(step: 333, loss: 3, text: facts))
        let card = ModelCard.markdown(result, recipe: recipe)
        let rows = card.components(separatedBy: "\n").filter { $0.hasSuffix("| 20.09 | 4.3281 |") }
        #expect((30...31).contains(rows.count))
        #expect(rows.first?.hasPrefix("| 1 | ") == true && rows.last?.hasPrefix("| 500 | ") == true)
        #expect(rows.contains { $0.hasPrefix("| 333 | 33,300 | 2.0000 | **3.0000** |") })
        #expect(card.hasPrefix("# a \\| b c\n") && card.contains("3,141,592 parameters") && card.contains("1,234,567"))
        #expect(card.contains("500 of 1000 (stopped: validation no longer improved)"))
    }
}
