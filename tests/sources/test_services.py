"""services.csv: which family a name is in, for the products of six clouds, and what is unknown."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from pipelines import accounts, reference
from pipelines.rollup import charges
from pipelines.settings import CHECKOUT
from tests.sources import facts
from tests.sources.reading import SHARED
from tests.sources.test_focus import ROW

KNOWN = reference.load(CHECKOUT / "data" / "reference")
WORKLOADS = {"deploy", "storage", "database", "observability"}
# By name alone: no resource type, no category. "other" is what the table doesn't know.
NAMES: dict[str, dict[str, list[str]]] = {
    "AWS": {
        "database": [
            "Amazon Relational Database Service", "Amazon DynamoDB", "Amazon ElastiCache",
            "Amazon DocumentDB (with MongoDB compatibility)", "Amazon Neptune",
            "Amazon MemoryDB", "Amazon Keyspaces (for Apache Cassandra)",
        ],
        "deploy": [
            "Amazon Elastic Compute Cloud", "Amazon Elastic Compute Cloud - Compute",
            "EC2 - Other", "AWS Lambda", "Amazon Elastic Container Service",
            "Amazon Elastic Container Service for Kubernetes",
            "Amazon EC2 Container Registry (ECR)", "AWS Fargate", "Amazon Lightsail",
            "AWS App Runner", "AWS Elastic Beanstalk", "AWS Batch",
        ],
        "domain": [
            "Amazon Route 53", "Amazon Registrar",
        ],
        "marketplace": [
            "AWS Marketplace",
        ],
        "messaging": [
            "Amazon Simple Email Service", "Amazon Simple Notification Service",
            "Amazon Pinpoint", "Amazon Chime",
        ],
        "model_inference": [
            "Amazon Bedrock", "Claude Sonnet 4 (Amazon Bedrock Edition)",
        ],
        "network": [
            "Elastic Load Balancing", "Amazon Virtual Private Cloud", "Amazon CloudFront",
            "AWS Data Transfer",
        ],
        "observability": [
            "AmazonCloudWatch", "AWS X-Ray", "AWS CloudTrail", "Amazon Managed Grafana",
            "Amazon Managed Service for Prometheus",
        ],
        "other": [
            "Amazon Redshift", "Amazon OpenSearch Service", "Amazon SageMaker",
            "AWS Key Management Service", "Amazon Simple Queue Service", "AWS Secrets Manager",
            "AWS Glue", "Amazon Q", "Kiro", "AWS WAF", "AWS Config",
            "Savings Plans for AWS Compute usage", "Tax",
        ],
        "storage": [
            "Amazon Simple Storage Service", "Amazon Elastic File System", "Amazon S3 Glacier",
            "Amazon FSx", "AWS Backup", "Amazon Elastic Block Store",
        ],
        "support": [
            "AWS Support (Business)", "AWS Support [Enterprise]",
        ],
    },
    "Microsoft": {
        "database": [
            "Azure SQL Database", "SQL Database", "Azure Cosmos DB",
            "Azure Database for PostgreSQL", "Azure Database for MySQL",
            "Azure Cache for Redis",
        ],
        "deploy": [
            "Virtual Machines", "Virtual Machine Scale Sets", "Azure Kubernetes Service",
            "Container Instances", "Azure Container Apps", "Container Registry",
            "Azure App Service", "Functions", "Azure Functions",
        ],
        "domain": [
            "Azure DNS",
        ],
        "marketplace": [
            "Azure Marketplace",
        ],
        "messaging": [
            "Azure Communication Services",
        ],
        "model_inference": [
            "Azure OpenAI", "Azure OpenAI Service", "Cognitive Services", "Foundry Models",
            "Azure AI services",
        ],
        "network": [
            "Virtual Network", "Load Balancer", "Azure Bandwidth", "Bandwidth", "Azure CDN",
            "VPN Gateway",
        ],
        "observability": [
            "Azure Monitor", "Log Analytics", "Application Insights",
        ],
        "other": [
            "Backup", "Azure Machine Learning", "Key Vault", "GitHub Copilot", "GitHub",
            "Microsoft Defender for Cloud", "Logic Apps", "Event Hubs",
            "Azure Synapse Analytics", "Azure Databricks",
        ],
        "storage": [
            "Storage Accounts", "Azure Managed Disks", "Azure Files",
        ],
        "support": [
            "Azure Support",
        ],
    },
    "Google Cloud": {
        "database": [
            "Cloud SQL", "Cloud Spanner", "Cloud Bigtable", "Cloud Firestore", "AlloyDB",
            "Cloud Memorystore for Redis",
        ],
        "deploy": [
            "Compute Engine", "Kubernetes Engine", "Cloud Run", "Cloud Run Functions",
            "Cloud Functions", "App Engine", "Artifact Registry",
        ],
        "domain": [
            "Cloud DNS", "Cloud Domains",
        ],
        "model_inference": [
            "Vertex AI", "Gemini API", "Generative Language API", "Gemini Code Assist",
            "Claude Opus 4",
        ],
        "network": [
            "Cloud Load Balancing", "Cloud CDN",
        ],
        "observability": [
            "Cloud Logging", "Cloud Monitoring", "Stackdriver Monitoring", "Cloud Trace",
        ],
        "other": [
            "Backup and DR Service", "Networking", "BigQuery", "Cloud Pub/Sub", "Cloud Build",
            "Cloud Key Management Service (KMS)", "Cloud Speech API", "Directions API",
            "Firebase", "Secret Manager",
        ],
        "storage": [
            "Cloud Storage", "Cloud Filestore",
        ],
        "support": [
            "Support",
        ],
    },
    "Oracle": {
        "database": [
            "Autonomous Database", "DATABASE", "MySQL Database Service",
            "Oracle NoSQL Database",
        ],
        "deploy": [
            "Compute", "COMPUTE", "Kubernetes Engine (OKE)", "Container Engine for Kubernetes",
            "Functions",
        ],
        "domain": [
            "DNS",
        ],
        "messaging": [
            "Email Delivery",
        ],
        "model_inference": [
            "Generative AI", "GENERATIVE_AI",
        ],
        "network": [
            "Load Balancer", "LOAD_BALANCER", "VCN", "NETWORK",
        ],
        "observability": [
            "OCI Logging", "LOGGING", "TELEMETRY", "MONITORING",
            "Application Performance Monitoring",
        ],
        "other": [
            "Notifications", "Vault", "Oracle Analytics",
        ],
        "storage": [
            "BLOCK_STORAGE", "Block Storage", "OBJECTSTORE", "Object Storage", "File Storage",
            "FILE_STORAGE",
        ],
    },
    "Alibaba Cloud": {
        "database": [
            "ApsaraDB RDS", "ApsaraDB RDS for MySQL", "云数据库 RDS", "云数据库 RDS MySQL 版", "RDS",
            "PolarDB", "云原生数据库 PolarDB", "Tair", "云数据库 Tair", "ApsaraDB for MongoDB",
            "AnalyticDB for MySQL", "云原生数据仓库 AnalyticDB", "Lindorm", "Tablestore", "表格存储",
            "Hologres", "实时数仓 Hologres",
        ],
        "deploy": [
            "Elastic Compute Service", "云服务器 ECS", "ECS", "Simple Application Server",
            "轻量应用服务器", "Container Service for Kubernetes", "容器服务 Kubernetes 版", "容器服务 ACK",
            "Container Registry", "容器镜像服务", "Elastic Container Instance", "弹性容器实例",
            "Function Compute", "函数计算", "Serverless App Engine", "Serverless 应用引擎",
            "Elastic GPU Service",
        ],
        "domain": [
            "Domains", "域名", "Alibaba Cloud DNS", "云解析 DNS",
        ],
        "marketplace": [
            "Marketplace", "云市场",
        ],
        "messaging": [
            "Short Message Service", "短信服务", "Direct Mail", "邮件推送", "Voice Messaging",
        ],
        "model_inference": [
            "Model Studio", "大模型服务平台百炼", "百炼", "DashScope", "灵积模型服务", "通义千问", "通义灵码",
        ],
        "network": [
            "Server Load Balancer", "负载均衡", "传统型负载均衡 CLB", "Elastic IP Address", "弹性公网 IP",
            "NAT Gateway", "NAT 网关", "CDN", "内容分发网络 CDN", "VPN 网关", "VPC", "专有网络 VPC", "共享带宽",
        ],
        "observability": [
            "Simple Log Service", "日志服务", "日志服务 SLS", "SLS", "CloudMonitor", "云监控", "ARMS",
            "应用实时监控服务 ARMS", "可观测监控 Prometheus 版", "Managed Service for Prometheus",
            "ActionTrail", "操作审计",
        ],
        "other": [
            "Platform for AI", "人工智能平台 PAI", "Elasticsearch", "检索分析服务 Elasticsearch版",
            "MaxCompute", "云原生大数据计算服务 MaxCompute", "DataWorks", "API Gateway",
            "消息队列 RocketMQ 版", "SSL Certificates Service", "数字证书管理服务",
            "Web Application Firewall", "DDoS 防护", "Lingma", "无影云电脑", "云效",
        ],
        "plan_fee": [
            "Coding Plan", "AI Coding Plan",
        ],
        "storage": [
            "Object Storage Service", "对象存储 OSS", "OSS", "NAS", "文件存储 NAS", "File Storage NAS",
            "块存储", "云盘", "Cloud Backup", "云备份",
        ],
        "support": [
            "Support Plan", "企业支持计划",
        ],
    },
    "Tencent Cloud": {
        "database": [
            "TencentDB for MySQL", "云数据库 MySQL",
        ],
        "deploy": [
            "Cloud Virtual Machine", "云服务器 CVM", "Tencent Kubernetes Engine", "容器服务 TKE",
            "Serverless Cloud Function", "云函数", "轻量应用服务器",
        ],
        "messaging": [
            "SMS", "短信",
        ],
        "model_inference": [
            "Hunyuan", "混元大模型",
        ],
        "observability": [
            "Cloud Log Service", "日志服务 CLS",
        ],
        "other": [
            "Lighthouse",
        ],
        "storage": [
            "Cloud Object Storage", "对象存储 COS", "Cloud Block Storage", "云硬盘",
        ],
    },
}  # fmt: skip


def families(rows: list[dict[str, str | None]]) -> list[str]:
    frame = pl.DataFrame(rows).with_row_index("kind").with_columns(on_day=pl.date(2026, 1, 1))
    found = charges.resolve_families(frame, KNOWN.services)
    named = frame.join(found, on="kind", how="left", maintain_order="left")
    return named["family"].fill_null("other").to_list()


def kind(provider: str, service: str, **more: str) -> dict[str, str | None]:
    fields = ("resource_type", "sku", "description", "category", "subcategory", "charge_category")
    return {"provider": provider, "service": service} | {f: more.get(f) for f in fields}


@pytest.mark.parametrize("provider", NAMES)
def test_families(provider: str) -> None:
    expected = {name: family for family, names in NAMES[provider].items() for name in names}
    found = families([kind(provider, name) for name in expected])
    assert dict(zip(expected, found, strict=True)) == expected


@pytest.mark.parametrize("provider", NAMES)
def test_a_name_that_nobody_knows_is_no_workload(provider: str) -> None:
    names = [
        "Quantum Annealer",
        "Ecstatic",
        "Lambdacism",
        "Web Application Firewall",
        "",
        "未来服务",
    ]
    assert not WORKLOADS & set(families([kind(provider, name) for name in names]))


def test_every_rule_is_dated_and_has_its_source() -> None:
    services = KNOWN.services
    assert services["rank"].is_unique().all()
    assert services["valid_from"].null_count() == services["source"].null_count() == 0
    fields = ["provider", "service", "resource_type", "sku", "category", "subcategory",
              "charge_category"]  # fmt: skip
    assert services.select(pl.any_horizontal(pl.col(fields).is_not_null()).all()).item()


def test_a_rule_ends_on_its_day() -> None:
    is_lambda = pl.col("service") == "% lambda %"
    rules = KNOWN.services.with_columns(valid_to=pl.when(is_lambda).then(pl.date(2026, 1, 1)))
    days = pl.Series("on_day", [date(2025, 12, 31), date(2026, 1, 1)])
    rows = pl.DataFrame([kind("AWS", "AWS Lambda")] * 2).with_row_index("kind")
    found = charges.resolve_families(rows.with_columns(days), rules)
    assert found.rows() == [(0, "deploy")]


AZURE = SHARED / "cloud" / "finops_toolkit" / "Services.csv"


@pytest.mark.skipif(not AZURE.is_file(), reason="the shared samples are not beside the checkout")
def test_azures_own_list_by_category() -> None:
    """A family per category of the toolkit's list of Azure services, with its known exceptions."""
    listed = pl.read_csv(AZURE, infer_schema=False)
    rows = [
        kind("Microsoft", r["ServiceName"], resource_type=r["ResourceType"],
             category=r["ServiceCategory"], subcategory=r["ServiceSubcategory"])
        for r in listed.to_dicts()
    ]  # fmt: skip
    listed = listed.with_columns(family=pl.Series(families(rows)))
    by = {
        category: dict(part["family"].value_counts().iter_rows())
        for (category,), part in listed.partition_by("ServiceCategory", as_dict=True).items()
    }
    assert set(by["Databases"]) == {"database"} and set(by["Storage"]) == {"storage"}
    assert set(by["Compute"]) == {"deploy", "storage"}
    assert set(by["AI and Machine Learning"]) == {"model_inference"}
    for category in ("Identity", "Integration", "Media", "Security", "Migration", "Multicloud"):
        assert not WORKLOADS & set(by[category]), category


SAMPLE = SHARED / "cloud" / "focus_1.0_real_sample_devhalf.csv"


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the shared samples are not beside the checkout")
def test_the_real_sample_is_known_but_for_what_is_no_workload(tmp_path: Path) -> None:
    folder = tmp_path / "landing" / "billing" / "2024-09-30"
    folder.mkdir(parents=True)
    (folder / "sample.csv").write_bytes(SAMPLE.read_bytes())
    facts.load(tmp_path)
    unknown = facts.query(tmp_path, "select provider, service from ops.unmapped_services")
    assert unknown == [
        ("AWS", "AWS Key Management Service"), ("AWS", "Amazon Simple Queue Service"),
    ]  # fmt: skip


def test_unknown_services_are_listed_by_spend_and_are_no_workload(tmp_path: Path) -> None:
    folder = tmp_path / "landing" / "billing" / "2024-09-30"
    folder.mkdir(parents=True)
    plain = ROW | {"ResourceType": "", "ServiceCategory": "Other", "BillingCurrency": "CNY"}
    rows = [
        plain | {"ServiceName": name, "EffectiveCost": cost}
        for name, cost in (("Small", "1"), ("Big", "50"), ("Refunded", "-20"), ("Free", "0"))
    ]
    pl.DataFrame([*rows, plain | {"ServiceName": "AWS Lambda"}]).write_csv(folder / "a.csv")
    work = facts.load(tmp_path)
    assert accounts.unknown_services(work) == (
        "AWS Big 50.00 CNY, AWS Refunded -20.00 CNY, AWS Small 1.00 CNY"
    )
    assert facts.query(tmp_path, "select service from ops.unmapped_services") == [
        ("Big",), ("Refunded",), ("Small",), ("Free",),
    ]  # fmt: skip
    assert facts.query(
        tmp_path, "select family, sum(effective)::int from fact.charge_days group by 1 order by 1"
    ) == [("deploy", 1), ("other", 31)]
