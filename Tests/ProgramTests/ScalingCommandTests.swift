import CoppiceModels
import Foundation
import Testing

@Suite struct ScalingCommandTests {
    @Test func scheduleConvertsComputeToSteps() throws {
        let json = try Program.run(
            "scaling", "schedule", "--steps", "10000", "--sparsity", "0.6", "--every", "50", "--json"
        ).json()
        #expect(json["start_step"]?.intValue == 2_500)
        #expect(json["steps"]?.intValue.map { abs($0 - 16_375) <= 40 } == true)
        #expect(json["average_density"]?.doubleValue.map { abs($0 - 0.605) <= 0.006 } == true)
        let text = try Program.run("scaling", "schedule", "--steps", "1000", "--sparsity", "0.8")
        #expect(text.status == 0 && text.output.contains("dense until step 250\n"))
        try Program.expectFailure(
            64, "final_sparsity: 1.5, expected a number from 0 to below 1",
            ["scaling", "schedule", "--steps", "100", "--sparsity", "1.5"])
    }

    @Test func aLawIsFittedAndPlansWithIt() throws {
        let folder = TemporaryFolder()
        var lines = ["average_parameters,tokens,loss,final_sparsity"]
        for (index, sparsity) in [0, 0, 0, 0, 0, 0, 0, 0, 0, 0.6].enumerated() {
            let (parameters, tokens) = (1e7 * pow(4, Double(index % 3)), 1e9 * pow(4, Double(index / 3)))
            let loss = 1.8 + 250 / pow(parameters, 0.3) + 500 / pow(tokens, 0.28)
            lines.append("\(parameters),\(tokens),\(loss),\(sparsity)")
        }
        let file = folder.path + "/runs.csv"
        try lines.joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
        let fit = try Program.run("scaling", "fit", file, "--dense-only", "--bootstrap", "0", "--json").json()
        #expect(fit["runs"]?.intValue == 9 && fit["sparse_runs"]?.intValue == 1)
        #expect(fit["law"]?["alpha"]?.doubleValue.map { abs($0 - 0.3) < 1e-3 } == true)
        #expect(fit["undetermined"]?.arrayValue == [])
        #expect(fit["sparse_mean_relative_error"]?.doubleValue.map { $0 < 1e-4 } == true)
        let text = try Program.run("scaling", "fit", file, "--bootstrap", "5")
        #expect(text.output.hasPrefix("L(N, D) = 1.8000 + 250") && text.output.contains("alpha: 95 %"))
        let plan = try Program.run(
            "scaling", "plan", "--compute", "1e18", "--inference-tokens", "1e11", "--runs", file, "--json"
        ).json()
        #expect(plan["options"]?.arrayValue?.count == 5)
        #expect(plan["best"]?["final_sparsity"]?.doubleValue == 0.8)
        let dense = try #require(plan["options"]?[0]?["flops"]?.doubleValue)
        #expect(try #require(plan["best"]?["flops"]?.doubleValue) < dense)
        // Losses that fall faster with tokens than a power does.
        let steep = folder.path + "/steep.csv"
        let falls: [Double] = [1, 0.1, 0.01]
        let rows = (0..<9).map { index -> String in
            let (parameters, tokens) = (1e6 * pow(3, Double(index % 3)), 1e8 * pow(1.2, Double(index / 3)))
            return "\(parameters),\(tokens),\(2 + 40 / pow(parameters, 0.3) + falls[index / 3])"
        }
        try (["parameters,tokens,loss"] + rows).joined(separator: "\n")
            .write(toFile: steep, atomically: true, encoding: .utf8)
        let flagged = try Program.run("scaling", "fit", steep, "--bootstrap", "0")
        #expect(
            flagged.output.contains(
                "\nbeta is at its bound of 4: the runs do not determine it, expected more token counts that lie farther"
            ))
        let bound = try Program.run("scaling", "fit", steep, "--bootstrap", "0", "--json").json()
        #expect(bound["undetermined"]?.arrayValue?.map(\.stringValue) == ["beta"])
        let planned = try Program.run("scaling", "plan", "--compute", "1e15", "--runs", steep, "--json").json()
        #expect(planned["undetermined"]?.arrayValue?.count == 1)
        let table = try Program.run("scaling", "plan", "--loss", "2.5")
        #expect(table.output.contains("(Hoffmann et al. 2022)") && table.output.contains("0.80 *"))
        try Program.expectFailure(
            64, "loss: 1.5, expected more than the law's irreducible 1.69", ["scaling", "plan", "--loss", "1.5"])
        try Program.expectFailure(66, "runs as CSV", ["scaling", "fit", folder.path + "/none.csv"])
    }
}
