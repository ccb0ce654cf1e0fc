import CoppiceModels
import Testing

@Suite struct SpellingTests {
    @Test func theNearestIsNamedOrTheList() {
        #expect(Spelling.hint("sparcity", ["method", "sparsity"]) == "; did you mean \"sparsity\"?")
        #expect(Spelling.hint("zzz", ["method", "sparsity"]) == "; expected one of method, sparsity")
    }

    @Test func longListsAreCut() {
        let names = (0..<25).map { "model.layers.\($0).weight" }
        let hint = Spelling.hint("zzz", names)
        #expect(hint.hasSuffix("model.layers.7.weight and 17 more"))
        #expect(Spelling.hint("zzz", Array(names.prefix(24))).hasSuffix("model.layers.23.weight"))
    }
}
