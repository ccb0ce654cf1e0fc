import CoppiceInference
import Testing

@Suite struct MetricsTests {
    /// The samples of a page by series, the comments checked for form.
    private static func samples(_ page: String) throws -> [String: Double] {
        var samples: [String: Double] = [:]
        var described = Set<String>()
        for line in page.split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                described.insert(String(line.split(separator: " ")[2]))
                continue
            }
            if line.hasPrefix("#") { continue }
            let space = try #require(line.lastIndex(of: " "))
            let series = String(line[..<space])
            let name = series.prefix { $0 != "{" }
            let isDescribed = described.contains {
                name == $0 || ["_bucket", "_sum", "_count"].contains(name.dropFirst($0.count)) && name.hasPrefix($0)
            }
            #expect(isDescribed, "\(name)")
            #expect(samples[series] == nil, "twice: \(series)")
            samples[series] = try #require(Double(line[line.index(after: space)...]))
        }
        return samples
    }

    @Test func countsWhatWasServed() async throws {
        let engine = ScriptedEngine(name: "a\"b\\c", script: { _ in "abc" })
        try await withServer([engine]) { server in
            let first = try Self.samples(try await server.get("/metrics").text)
            let model = #"{model="a\"b\\c"}"#
            #expect(first["coppice_generated_tokens_total\(model)"] == 0)
            _ = try await server.post("/v1/completions", #"{"prompt": ["xy", "z"]}"#)
            _ = try await server.post("/v1/completions", #"{"prompt": "x", "stream": true}"#)
            _ = try await server.post("/v1/completions", #"{"prompt": 1}"#)
            for path in ["/v1/x", "/v1/y", "/v1/models/z"] { _ = try await server.get(path) }
            let reply = try await server.get("/metrics")
            #expect(reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            let samples = try Self.samples(reply.text)
            func answers(_ method: String, _ route: String, _ status: Int) -> Double? {
                samples[#"coppice_http_requests_total{method="\#(method)",route="\#(route)",status="\#(status)"}"#]
            }
            #expect(answers("POST", "/v1/completions", 200) == 2)
            #expect(answers("POST", "/v1/completions", 400) == 1)
            #expect(answers("GET", "other", 404) == 2)
            #expect(answers("GET", "/v1/models/{id}", 404) == 1)
            #expect(answers("GET", "/metrics", 200) == 1)
            #expect(samples["coppice_http_requests_in_flight"] == 1)
            #expect(samples["coppice_http_connections"].map { $0 >= 1 } == true)
            #expect(samples["coppice_sequences_total\(model)"] == 3)
            #expect(samples["coppice_prompt_tokens_total\(model)"] == 7)
            #expect(samples["coppice_generated_tokens_total\(model)"] == 12)
            #expect(samples["coppice_sequences_running\(model)"] == 0)
            #expect(samples["coppice_cache_tokens_capacity\(model)"] == 4096)
            let labels = #"{model="a\"b\\c",le="+Inf"}"#
            #expect(samples["coppice_time_to_first_token_seconds_bucket\(labels)"] == 3)
            #expect(samples["coppice_time_to_first_token_seconds_count\(model)"] == 3)
            #expect(samples["coppice_time_per_output_token_seconds_count\(model)"] == 9)
        }
    }
}
