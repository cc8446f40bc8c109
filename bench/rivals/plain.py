"""A common baseline: FastAPI, one row of pandas, predict_proba of XGBoost's scikit-learn API.

    python bench/rivals/plain.py MODEL PORT        MODEL as xgboost.Booster.save_model wrote it
"""

import sys

import pandas as pd
import uvicorn
import xgboost
from fastapi import FastAPI


def create_app(path: str) -> FastAPI:
    app, model = FastAPI(), xgboost.XGBClassifier()
    model.load_model(path)

    @app.post("/score")
    def score(features: dict[str, float]) -> dict[str, float]:
        return {"score": float(model.predict_proba(pd.DataFrame([features]).to_numpy())[0, 1])}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
